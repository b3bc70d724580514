"""Outputs of maps, for deciding: gathered from the events of their items, in one statement for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg
import orjson

from engine.domain.events import RecordedEvent
from engine.domain.handles import MapKey
from engine.domain.map_output import ItemEvent, gathered, item_events
from engine.write.store import columns
from sql import queries

SQL = queries.load("payloads")

Fresh = Mapping[int, Sequence[RecordedEvent]]


async def contents(connection: asyncpg.Connection, keys: Sequence[MapKey], fresh: Fresh) -> dict[str, object]:
    """The outputs or errors of maps by address, `Referring` to payloads; a map that is gone is left out.

    `fresh` are the events that this append has yet to write. Whoever asks has made sure that none is too
    large to be read.
    """
    events: dict[MapKey, list[ItemEvent]] = {}
    totals: dict[MapKey, int] = {}
    for row in await connection.fetch(SQL.items, *columns([_row(key) for key in keys])) if keys else ():
        key = keys[row["place"] - 1]
        totals[key] = row["total"]
        if row["item"] is not None:
            told = ItemEvent(row["item"], row["event_type"], orjson.loads(row["payload"]))
            events.setdefault(key, []).append(told)
    for key in keys:
        new = fresh.get(key.execution_id, ())
        events.setdefault(key, []).extend(item_events(key, new))
        for event in new:
            if event.version == key.opened and isinstance(event.payload, dict):
                totals[key] = event.payload["count"]
    return {key.uri: gathered(key, total, events[key]) for key, total in totals.items()}


def _row(key: MapKey) -> tuple[object, ...]:
    return key.execution_id, key.step, key.opened, key.closed, key.what == "errors", key.item
