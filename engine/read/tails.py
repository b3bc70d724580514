"""Following logs: where many of them stand, and what came after a version, in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from engine.domain.events import RecordedEvent, from_row
from sql import queries

SQL = queries.load("tails")
WATCHING = queries.load("watching")

EVENTS_AT_ONCE = 200
BYTES_AT_ONCE = 256 * 1024


@dataclass(slots=True)
class Tail:
    """Where a log stands, and the events after a version in order: all, unless the last is not the head's."""

    head_version: int
    status: str
    is_ended: bool
    events: list[RecordedEvent] = field(default_factory=list)


async def after(
    connection: asyncpg.Connection, places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], Tail]:
    """What follows these (execution_id, version), at most 200 events and about 256 KiB of payloads of each.

    Executions that do not exist or are purged are left out.
    """
    asked = sorted(places)
    ids, versions = [place[0] for place in asked], [place[1] for place in asked]
    found: dict[tuple[int, int], Tail] = {}
    for row in await connection.fetch(SQL.after, ids, versions, EVENTS_AT_ONCE, BYTES_AT_ONCE):
        place = row["asked_id"], row["asked_version"]
        tail = found.get(place)
        if tail is None:
            tail = found[place] = Tail(row["head_version"], row["head_status"], row["is_ended"])
        if row["version"] is not None:
            tail.events.append(from_row(row))
    return found


async def recorded(connection: asyncpg.Connection, execution_ids: Sequence[int]) -> Mapping[int, int]:
    """The versions of logs, by execution."""
    return {row[0]: row[1] for row in await connection.fetch(WATCHING.recorded, execution_ids)}


async def projected(connection: asyncpg.Connection, execution_ids: Sequence[int]) -> Mapping[int, int]:
    """The versions of snapshots, by execution."""
    return {row[0]: row[1] for row in await connection.fetch(WATCHING.projected, execution_ids)}
