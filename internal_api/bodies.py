"""Request bodies and queries, read by hand: every fault is found, named by its place, and told at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NoReturn

from aiohttp import web

from engine.domain.ids import MAX_ID, parse_id
from engine.errors import Invalid, Malformed
from engine.runtime.http import read_json

PAGE = 100
MOST_LISTED = 1_000
MOST_ITEMS = 1_000
POOL = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
VISIBLE = re.compile(r"[\x21-\x7e]{1,128}")

_ABSENT = object()


class Fields:
    """The members of an object; each is asked for once, and `close` reports what was wrong or unknown."""

    def __init__(self, members: dict[str, object]) -> None:
        self._members = members
        self._asked: set[str] = set()
        self._faults: list[dict[str, object]] = []

    def _take(self, name: str) -> object:
        self._asked.add(name)
        return self._members.get(name, _ABSENT)

    def fault(self, name: str, message: str, kind: str) -> None:
        """Note a fault at a member."""
        self._faults.append({"loc": [name], "msg": message, "type": kind})

    def _is_at_fault(self, name: str) -> bool:
        return any(fault["loc"] == [name] for fault in self._faults)

    def close(self) -> None:
        """Raise `Invalid` with every fault found, members nobody asked for among them."""
        for name in self._members.keys() - self._asked:
            self.fault(name[:100], "there is no such member", "unknown")
        if self._faults:
            raise Invalid("the request is not as this route expects it", errors=self._faults)

    def has(self, name: str) -> bool:
        """Whether the member is there."""
        return name in self._members

    def integer(self, name: str, default: int | None = None, *, least: int, most: int) -> int:
        """An integer that is taken as the nearest allowed one."""
        value = self._take(name)
        if value is _ABSENT and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            self.fault(name, "must be an integer", "integer")
            return default or least
        return min(most, max(least, value))

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A number within bounds."""
        value = self._take(name)
        if value is _ABSENT:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            self.fault(name, "must be a number", "number")
        elif not least <= value <= most:
            self.fault(name, f"must be from {least:g} to {most:g}", "range")
        else:
            return float(value)
        return default

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self._take(name)
        if value is _ABSENT:
            return default
        if not isinstance(value, bool):
            self.fault(name, "must be true or false", "boolean")
        return value is True

    def text(self, name: str, default: str | None = None) -> str:
        """A text."""
        value = self._take(name)
        if value is _ABSENT and default is not None:
            return default
        if not isinstance(value, str):
            self.fault(name, "must be a text", "text")
            return ""
        return value

    def pool(self, name: str = "pool", default: str | None = None) -> str:
        """The name of a pool."""
        value = self.text(name, default)
        if not POOL.fullmatch(value) and not self._is_at_fault(name):
            self.fault(name, "must be the name of a pool", "pool")
        return value

    def name(self, name: str, default: str | None = None) -> str:
        """A name: 1 to 128 visible ASCII characters."""
        value = self.text(name, default)
        if value != default and not VISIBLE.fullmatch(value) and not self._is_at_fault(name):
            self.fault(name, "must be 1 to 128 visible ASCII characters", "name")
        return value

    def optional_id(self, name: str) -> int | None:
        """An identifier, as a number or as digits, or none."""
        value = self._take(name)
        if value is _ABSENT or value is None:
            return None
        found = parse_id(value)
        if found is None:
            self.fault(name, "must be an identifier", "id")
        return found

    def id(self, name: str) -> int:
        """An identifier, as a number or as digits."""
        found = self.optional_id(name)
        if found is None and not self._is_at_fault(name):
            self.fault(name, "must be an identifier", "id")
        return found or 0

    def ids(self, name: str, most: int = MOST_ITEMS) -> list[int]:
        """At least one identifier; raises `Malformed` (400) when the list is empty."""
        items = self.items(name, most)
        found = [parse_id(item) for item in items]
        if None in found:
            self.fault(name, "must be a list of identifiers", "ids")
        if not items and not self._is_at_fault(name):
            raise Malformed(f"{name} is empty", code="empty")
        return [each for each in found if each is not None]

    def items(self, name: str, most: int = MOST_ITEMS) -> list[object]:
        """A list of anything, possibly empty."""
        value = self._take(name)
        if not isinstance(value, list):
            self.fault(name, "must be a list", "list")
        elif len(value) > most:
            self.fault(name, f"must have at most {most} items", "length")
        else:
            return value
        return []

    def names(self, name: str) -> list[str] | None:
        """A list of names in visible ASCII, or none."""
        if not self.has(name) or self._members[name] is None:
            self._asked.add(name)
            return None
        items = [item if isinstance(item, str) else "" for item in self.items(name)]
        if not all(VISIBLE.fullmatch(item) for item in items):
            self.fault(name, "must be a list of names in visible ASCII", "names")
        return items

    def object(self, name: str) -> Fields | None:
        """An object within this one, or none; its faults are its own to `close`."""
        value = self._take(name)
        if value is _ABSENT or value is None:
            return None
        if not isinstance(value, dict):
            self.fault(name, "must be an object", "object")
            return None
        return Fields(value)


async def read_fields(request: web.Request, *, may_be_absent: bool = False) -> Fields:
    """The body as an object.

    Raises `Malformed` when there is none and one is needed, `Invalid` when it is something else.
    """
    document = await read_json(request)
    if document is None:
        if not may_be_absent:
            raise Malformed("the request needs a body", code="empty")
        return Fields({})
    if not isinstance(document, dict):
        refuse_body("object")
    return Fields(document)


def refuse_body(wanted: str) -> NoReturn:
    """Raise `Invalid` for a body of the wrong JSON type."""
    errors = [{"loc": [], "msg": f"must be an {wanted}", "type": wanted}]
    raise Invalid(f"the body must be an {wanted}", errors=errors)


def read_query(request: web.Request, allowed: Iterable[str]) -> dict[str, str]:
    """The query's parameters; raises `Invalid` for an unknown one, and for one that is there twice."""
    known = set(allowed)
    faults = [
        {"loc": [name[:100]], "msg": "there is no such parameter", "type": "unknown"}
        for name in set(request.query) - known
    ]
    faults += [
        {"loc": [name], "msg": "is there more than once", "type": "repeated"}
        for name in known & set(request.query)
        if len(request.query.getall(name)) > 1
    ]
    if faults:
        raise Invalid("the query is not as this route expects it", errors=faults)
    return dict(request.query)


def query_name(query: dict[str, str], name: str) -> str | None:
    """A name of a query in visible ASCII, or none."""
    value = query.get(name)
    if value is not None and not VISIBLE.fullmatch(value):
        errors = [{"loc": [name], "msg": "must be 1 to 128 visible ASCII characters", "type": "name"}]
        raise Invalid("the query is not as this route expects it", errors=errors)
    return value


def query_integer(query: dict[str, str], name: str, default: int, *, most: int) -> int:
    """A positive integer of a query, taken as at most `most`."""
    value = query.get(name)
    if value is None:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > len(str(2**63)) or int(value) < 1:
        errors = [{"loc": [name], "msg": "must be a positive integer", "type": "integer"}]
        raise Invalid("the query is not as this route expects it", errors=errors)
    return min(most, int(value))


def query_limit(query: dict[str, str]) -> int:
    """How many entries the page of a list may have: 100 unless asked for, at most 1,000."""
    return query_integer(query, "limit", PAGE, most=MOST_LISTED)


def query_cursor(query: dict[str, str]) -> int:
    """Below which id the page of a list begins, newest first; without one at the newest."""
    return query_integer(query, "cursor", MAX_ID, most=MAX_ID)
