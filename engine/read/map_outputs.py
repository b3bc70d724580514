"""Outputs of maps as readers fetch them: page by page from the events of their items."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
import orjson

from engine.domain.handles import MapKey, Referring
from engine.domain.map_output import ItemEvent, gathered, types_of
from engine.errors import NotFound, TooLarge
from sql import queries

SQL = queries.load("payloads")

EVENTS_AT_ONCE = 1_000
BYTES_AT_ONCE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """Events of the items of a map of `total`, in version order; `after` leads on, None at the end."""

    total: int
    events: list[tuple[int, str, bytes]]
    after: int | None


async def page(connection: asyncpg.Connection, key: MapKey, after: int = 0) -> Page:
    """The events after a version that tell what the items gave: item, type and payload as JSON.

    They have 4 MiB together, or are a single one. Raises `NotFound` where no map was opened and closed.
    """
    total = await connection.fetchval(SQL.map_ends, key.execution_id, key.step, key.opened, key.closed)
    if total is None:
        raise NotFound("the execution has no such map", code="unknown_payload")
    begin = max(after, key.opened)
    rows = await connection.fetch(
        SQL.map_page,
        *(key.execution_id, key.step, begin, key.closed, list(types_of(key)), EVENTS_AT_ONCE, BYTES_AT_ONCE),
    )
    events = [(row["item"], row["event_type"], row["payload"].encode()) for row in rows]
    return Page(total, events, rows[-1]["version"] if rows else None)


async def body(connection: asyncpg.Connection, key: MapKey, most: int) -> bytes:
    """The whole list as JSON, with references in it where an element is a payload.

    Raises `NotFound`, and `TooLarge` beyond `most` bytes.
    """
    found = await page(connection, key)
    size, events = 0, list[ItemEvent]()
    while True:
        size += sum(len(payload) for _, _, payload in found.events)
        if size > most:
            raise TooLarge(f"the list has more than {most} bytes; its elements are in the events", limit=most)
        events += [ItemEvent(item, kind, orjson.loads(payload)) for item, kind, payload in found.events]
        if found.after is None:
            break
        found = await page(connection, key, found.after)
    value = gathered(key, found.total, events)
    return orjson.dumps(value.value if isinstance(value, Referring) else value)
