"""Large values: kept as payloads beside the log, passed on as handles, read only where an expression asks.

    worker ──▶ payload stored ──▶ command.completed {status, reference: {kind, uri, bytes}}
    expression passes it on    ──▶ the command or event holds {"reference": ...} and says at which places
    expression reads it        ──▶ loaded once while it has at most 256 KiB, else `value_too_large`

The output of a map lies in the events of its items, so it is a handle from the start: its length is known,
an element of a large one is loaded by itself, and `{"reference": {kind: map, uri, bytes, count, apart}}`
passes it on. `bytes` is what the list has by itself, `apart` what its elements have that are payloads.

The places are told beside a value, never guessed from it: data of a tool that looks like a reference is data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from engine.domain.carried import carried_value
from engine.domain.expression import Deferred, ExpressionFailed
from engine.domain.json_values import Unstorable, encoded_json

SCHEME = "payload:"
MOST_BYTES = 16 * 1024 * 1024
MOST_READ_BYTES = 256 * 1024
INLINE_BYTES = 64 * 1024
"""What a map's output may have to be passed on as a value."""

SHA256_HEX = re.compile(r"[0-9a-f]{64}")

_URI = re.compile(r"payload:([1-9][0-9]{0,18})/([0-9a-f]{64})")
_NUMBER = r"([1-9][0-9]{0,18})"
_MAP_URI = re.compile(
    rf"map:{_NUMBER}/([a-z][a-z0-9_]*)/{_NUMBER}-{_NUMBER}/(outputs|errors)(?:/([0-9]{{1,9}}))?"
)

Reference = Mapping[str, Any]
Place = Sequence[str | int]
"""The keys and indexes that lead to a part of a value; none leads to the whole."""
Fetch = Callable[[str, str], object]
"""Gives the value at an address, with handles of its own; the second is how errors call it."""


class PayloadKey(NamedTuple):
    """What addresses a payload: the execution it is kept for, and the hash of its bytes."""

    execution_id: int
    sha256: bytes

    @property
    def uri(self) -> str:
        """The address as references hold it."""
        return f"{SCHEME}{self.execution_id}/{self.sha256.hex()}"


def parse_uri(uri: object) -> PayloadKey | None:
    """The key of an address of ours; None for any other and for a malformed one."""
    found = _URI.fullmatch(uri) if isinstance(uri, str) else None
    return None if found is None else PayloadKey(int(found[1]), bytes.fromhex(found[2]))


class MapKey(NamedTuple):
    """What addresses the output of a map: its step, and the versions at which it was opened and closed.

    `what` is `outputs`, in item order with null for those given up, or `errors` of these; with `item` the
    output of that one alone.
    """

    execution_id: int
    step: str
    opened: int
    closed: int
    what: str = "outputs"
    item: int | None = None

    @property
    def uri(self) -> str:
        """The address as references hold it; that of a single item is only asked for while deciding."""
        whole = f"map:{self.execution_id}/{self.step}/{self.opened}-{self.closed}/{self.what}"
        return whole if self.item is None else f"{whole}/{self.item}"


def parse_map_uri(uri: object) -> MapKey | None:
    """The key of the address of a map's output; None for any other."""
    found = _MAP_URI.fullmatch(uri) if isinstance(uri, str) else None
    if found is None:
        return None
    execution_id, step, opened_at, closed_at, what, item = found.groups()
    number = None if item is None else int(item)
    return MapKey(int(execution_id), step, int(opened_at), int(closed_at), what, number)


def own_reference(payload: object) -> dict[str, Any] | None:
    """The reference of a result that is kept as a payload of ours; others are not ours to judge."""
    if not isinstance(payload, dict) or "reference" not in payload:
        return None
    reference = payload["reference"]
    uri = reference.get("uri") if isinstance(reference, dict) else None
    return reference if isinstance(uri, str) and uri.startswith(SCHEME) else None


def is_unconfirmed(payload: object) -> bool:
    """Whether a result refers to a payload that was not found: only those found are given their size."""
    reference = own_reference(payload)
    return reference is not None and type(reference.get("bytes")) is not int


class Handle:
    """A large value where an expression meets it; `named` is how errors call it, `fetch` gives the value.

    No dataclass on purpose: those would be written as JSON by accident, where only `written` may.
    """

    __slots__ = ("_fetch", "named", "reference")

    def __init__(self, reference: Reference, named: str, fetch: Fetch) -> None:
        self.reference = reference
        self.named = named
        self._fetch = fetch

    @property
    def bytes(self) -> int:
        """The size of its JSON; of a list, with references in place of elements that are kept apart."""
        size: int = self.reference["bytes"]
        return size

    @property
    def bytes_in_all(self) -> int:
        """The size with everything that is kept apart put in its place."""
        return bytes_in_all(self.reference)

    @property
    def count(self) -> int | None:
        """The length of what is known to be a list."""
        count: int | None = self.reference.get("count")
        return count

    def open(self) -> object:
        """The value itself; raises `ExpressionFailed` when it is too large to be read."""
        if self.bytes > MOST_READ_BYTES:
            raise self.refused()
        return self._fetch(self.reference["uri"], self.named)

    def passed(self) -> object:
        """What is passed on: a short list as it is, anything else as a handle."""
        return self.open() if self.count is not None and self.bytes <= INLINE_BYTES else self

    def element(self, index: int) -> object:
        """One element of a list, `index` being below `count`; of a large list only that is loaded."""
        key = parse_map_uri(self.reference["uri"])
        if self.bytes > MOST_READ_BYTES and key is not None and key.what == "outputs":
            return self._fetch(key._replace(item=index).uri, f"{self.named}[{index}]")
        value = self.open()
        return value[index] if isinstance(value, list) else value

    def refused(self) -> ExpressionFailed:
        """The failure of reading what can only be passed on."""
        return ExpressionFailed(
            "value_too_large",
            f"{self.named} has {self.bytes} bytes, which cannot be read here (at most {MOST_READ_BYTES} can, "
            "by their path), only passed on whole",
        )


@dataclass(frozen=True, slots=True)
class Referring:
    """A value of the log with references to payloads at some places."""

    value: object
    places: Sequence[Place]

    def bound(self, named: str, fetch: Fetch) -> object:
        """The value with handles at its places."""

        def handle(place: Place) -> Handle:
            path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
            return Handle(reference_at(self.value, place), named + path, fetch)

        return replaced(self.value, [(place, handle(place)) for place in self.places])

    @property
    def bytes_apart(self) -> int:
        """What its references stand for, in bytes."""
        return sum(bytes_in_all(reference_at(self.value, place)) for place in self.places)


def held_value(event_type: str, payload: object) -> object:
    """The value that an event carries, `Referring` where parts of it are kept as payloads."""
    value = carried_value(event_type, payload)
    if not isinstance(payload, dict):
        return value
    places = payload.get("handles") or (((),) if own_reference(payload) else ())
    return Referring(value, places) if places else value


def bytes_apart(event_type: str, payload: object) -> int:
    """What the value that an event carries refers to, in bytes."""
    held = held_value(event_type, payload)
    return held.bytes_apart if isinstance(held, Referring) else 0


class Written(NamedTuple):
    """A value as JSON, with references in place of its handles, which stand at `places`.

    At the places `deferred` stand expressions with the values they name, for a worker to evaluate.
    """

    encoded: bytes
    places: list[Place]
    handles: list[Handle]
    deferred: list[Place]


def written(value: object) -> Written:
    """Encode what expressions gave; raises `ExpressionFailed` for what is nested too deep to be kept."""
    met: list[Handle] = []
    deferred: list[Deferred] = []

    def refer(part: object) -> object:
        if isinstance(part, Deferred):
            deferred.append(part)
            return part.written()
        if not isinstance(part, Handle):
            raise TypeError(type(part).__name__)
        met.append(part)
        return {"reference": part.reference}

    encoded = _encoded(value, refer)
    return Written(
        encoded,
        _places(value, Handle) if met else [],
        met,
        _places(value, Deferred) if deferred else [],
    )


def sortable(value: object) -> bytes:
    """Encode what an expression gave so that equal values give equal bytes; raises as `written`."""
    return _encoded(opened(value), None, orjson.OPT_SORT_KEYS)


def _encoded(value: object, refer: Callable[[object], object] | None, option: int = 0) -> bytes:
    try:
        return encoded_json(value, refer, option)
    except Unstorable as refusal:
        code = "value_too_large" if refusal.code == "too_deep" else "type_mismatch"
        raise ExpressionFailed(code, f"the value is {refusal.detail}") from refusal


def opened(value: object) -> object:
    """The value with every handle replaced by what it stands for; raises `ExpressionFailed`."""
    if isinstance(value, Handle):
        return opened(value.open())
    if isinstance(value, dict):
        return {key: opened(part) for key, part in value.items()}
    if isinstance(value, list):
        return [opened(part) for part in value]
    return value


def replaced(value: Any, parts: Iterable[tuple[Place, object]]) -> object:  # noqa: ANN401  # any JSON
    """The value with other parts at some places; what that does not touch is shared, nothing is changed."""
    below: dict[str | int, list[tuple[Place, object]]] = {}
    for place, part in parts:
        if not place:
            return part
        below.setdefault(place[0], []).append((place[1:], part))
    if not below:
        return value
    copy = value.copy()
    for key, inner in below.items():
        copy[key] = replaced(value[key], inner)
    return copy


def bytes_in_all(reference: Reference) -> int:
    """How many bytes a reference stands for, in its payload and in those that this refers to."""
    size: int = reference["bytes"] + reference.get("apart", 0)
    return size


def reference_at(value: Any, place: Place) -> dict[str, Any]:  # noqa: ANN401  # any JSON
    """The reference that stands at a place."""
    for key in place:
        value = value[key]
    reference: dict[str, Any] = value["reference"]
    return reference


def _places(value: object, kind: type) -> list[Place]:
    return [list(place) for place in _found(value, kind, ())]


def _found(value: object, kind: type, at: tuple[str | int, ...]) -> Iterator[Place]:
    if isinstance(value, kind):
        yield at
    elif isinstance(value, Deferred):
        yield from _found(value.written(), kind, at)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _found(part, kind, (*at, key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _found(part, kind, (*at, index))
