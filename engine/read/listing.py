"""Lists of executions: filters, and pages by execution id that do not shift while executions start."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Literal

import asyncpg
import orjson

from engine.domain.ids import MAX_ID, parse_id
from engine.domain.vocabulary import ExecutionStatus
from engine.errors import Invalid, Malformed
from engine.read.describe import Json, moment
from sql import queries

SQL = queries.load("executions")

DEFAULT_LIMIT = 20
MAX_LIMIT = 200
ID_DIGITS = len(str(MAX_ID))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list is narrowed to; None means all.

    `label` is `name` or `name=value`, `search` the first digits of an execution id.
    """

    status: str | None = None
    playbook: str | None = None
    label: str | None = None
    search: str | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Executions without their values, and the cursor of the next page if there is one."""

    items: list[Json]
    next_cursor: str | None


async def list_executions(
    connection: asyncpg.Connection,
    filters: Filters,
    *,
    order: Literal["asc", "desc"] = "desc",
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page:
    """A page of executions by id, which is by time: the newest first, or the oldest with `asc`.

    Raises `Malformed` (`bad_cursor`) for a cursor that this list did not give, and `Invalid` for a filter
    or limit that cannot be.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"limit is from 1 to {MAX_LIMIT}", code="bad_limit")
    place = None if cursor is None else _read_cursor(cursor, filters, order)
    statement = SQL.page_down if order == "desc" else SQL.page_up
    arguments = _arguments(filters)
    rows: list[asyncpg.Record] = []
    async with connection.transaction():
        await connection.execute(SQL.plan_each_time)
        for low, high in _ranges(filters.search, order, place):
            rows += await connection.fetch(statement, low, high, limit + 1 - len(rows), *arguments)
            if len(rows) > limit:
                break
    shown = rows[:limit]
    more = len(rows) > limit
    next_cursor = _cursor(shown[-1]["execution_id"], filters, order) if more else None
    return Page([_item(row) for row in shown], next_cursor)


def _arguments(filters: Filters) -> tuple[object, ...]:
    if filters.status is not None and filters.status not in set(ExecutionStatus):
        raise Invalid(f"status is one of {', '.join(ExecutionStatus)}", code="unknown_status")
    name, has_value, value = (filters.label or "").partition("=")
    if filters.label is not None and not name:
        raise Invalid("label is `name` or `name=value`", code="bad_label")
    contained = orjson.dumps({name: value}).decode() if has_value else None
    present = name if filters.label is not None and not has_value else None
    texts = (filters.status, filters.playbook, contained, present)
    if any("\0" in text or "\\u0000" in text for text in texts if text is not None):
        raise Invalid("a filter cannot hold the character NUL", code="bad_filter")
    return (*texts, filters.started_after, filters.started_before)


def _ranges(
    search: str | None, order: Literal["asc", "desc"], place: int | None
) -> Iterator[tuple[int, int]]:
    """Bounds (both exclusive) of the ids wanted, in order: with a prefix one range a number of digits."""
    ranges = [(0, MAX_ID)] if search is None else list(_prefixed(search))
    for low, high in ranges if order == "asc" else reversed(ranges):
        if place is not None:
            low, high = (max(low, place), high) if order == "asc" else (low, min(high, place))  # noqa: PLW2901  # the narrowed range
        if low + 1 < high:
            yield low, high


def _prefixed(search: str) -> Iterator[tuple[int, int]]:
    number = parse_id(search)
    if number is None or search.startswith("0"):
        raise Invalid("search is the first digits of an execution id", code="bad_search")
    for zeros in range(ID_DIGITS - len(search) + 1):
        scale = 10**zeros
        if number * scale <= MAX_ID:
            yield number * scale - 1, min((number + 1) * scale, MAX_ID)


def _item(row: asyncpg.Record) -> Json:
    definition_hash, parent = row["definition_hash"], row["parent"]
    about = None if parent is None else orjson.loads(parent)
    return {
        "execution_id": str(row["execution_id"]),
        "playbook": row["path"],
        "playbook_version": row["playbook_version"],
        "definition_hash": None if definition_hash is None else definition_hash.hex(),
        "status": row["status"],
        "version": row["version"],
        "labels": orjson.loads(row["labels"]),
        "key": row["key"],
        "started_at": moment(row["started_at"]),
        "ended_at": moment(row["ended_at"]),
        "parent": None if about is None else {"execution_id": about["execution_id"], "step": about["step"]},
    }


def _cursor(execution_id: int, filters: Filters, order: str) -> str:
    body = orjson.dumps([str(execution_id), _seal(execution_id, filters, order)])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _read_cursor(cursor: str, filters: Filters, order: str) -> int:
    try:
        place, seal = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError):
        raise _bad_cursor() from None
    execution_id = parse_id(place)
    if execution_id is None or seal != _seal(execution_id, filters, order):
        raise _bad_cursor()
    return execution_id


def _bad_cursor() -> Malformed:
    return Malformed("the cursor does not belong to this list", code="bad_cursor")


def _seal(execution_id: int, filters: Filters, order: str) -> str:
    """Binds a cursor to its list; it protects against mistakes, as a cursor shows nothing secret."""
    body = orjson.dumps([execution_id, order, asdict(filters)], option=orjson.OPT_SORT_KEYS)
    return blake2b(body, digest_size=8, person=b"cursor").hexdigest()
