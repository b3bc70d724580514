"""Finds executions whose snapshot is missing or behind, page by page, whatever the stream has lost.

Each pass remembers its place in the database; of several processes one at a time is at a pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg

from engine.domain.snapshot import FOLD_VERSION
from sql import queries

SQL = queries.load("sweep")

LIVE, ENDED, REFOLD = "sweep_live", "sweep_ended", "refold"
PAGE = 1_000
SETTLED_SECONDS = 5.0
OVERLAP = timedelta(seconds=60)
FROM_THE_START = 0


@dataclass(frozen=True, slots=True)
class Swept:
    """Executions to be advanced, and whether the pass has more pages."""

    execution_ids: list[int] = field(default_factory=list)
    more: bool = False


async def sweep_live(
    connection: asyncpg.Connection, *, limit: int = PAGE, settled_seconds: float = SETTLED_SECONDS
) -> Swept:
    """The next page of live heads: those that have been ahead of their snapshot for some seconds."""
    async with connection.transaction():
        place = await _begin(connection, LIVE)
        if place is None:
            return Swept()
        rows = await connection.fetch(SQL.live, place.cursor, limit, settled_seconds)
        return await _end_by_id(connection, LIVE, place, rows, limit)


async def refold(connection: asyncpg.Connection, *, limit: int = PAGE) -> Swept:
    """The next page of snapshots: those that an older fold has made."""
    async with connection.transaction():
        place = await _begin(connection, REFOLD)
        if place is None:
            return Swept()
        rows = await connection.fetch(SQL.refold, place.cursor, limit, FOLD_VERSION)
        return await _end_by_id(connection, REFOLD, place, rows, limit)


async def sweep_ended(connection: asyncpg.Connection, *, limit: int = PAGE) -> Swept:
    """The next page of heads that ended: those whose snapshot is missing or behind.

    A pass begins 60 seconds before the last one ended, as an end may be recorded before it is committed.
    """
    async with connection.transaction():
        place = await _begin(connection, ENDED)
        if place is None:
            return Swept()
        rows = await connection.fetch(SQL.ended, place.finished_at, place.cursor, limit)
        more = len(rows) == limit
        if more:
            await _save(connection, ENDED, rows[-1]["execution_id"], rows[-1]["ended_at"])
        else:
            await _save(connection, ENDED, FROM_THE_START, place.moment - OVERLAP)
        return Swept(_behind(rows), more)


@dataclass(frozen=True, slots=True)
class _Place:
    cursor: int
    finished_at: datetime
    moment: datetime


async def _begin(connection: asyncpg.Connection, name: str) -> _Place | None:
    row = await connection.fetchrow(SQL.begin_pass, name)
    return None if row is None else _Place(*row)


async def _save(connection: asyncpg.Connection, name: str, cursor: int, finished_at: datetime | None) -> None:
    await connection.execute(SQL.save_pass, name, cursor, finished_at)


async def _end_by_id(
    connection: asyncpg.Connection, name: str, place: _Place, rows: list[asyncpg.Record], limit: int
) -> Swept:
    more = len(rows) == limit
    cursor = rows[-1]["execution_id"] if more else FROM_THE_START
    await _save(connection, name, cursor, None if more else place.moment)
    return Swept(_behind(rows), more)


def _behind(rows: list[asyncpg.Record]) -> list[int]:
    return [row["execution_id"] for row in rows if row["is_behind"]]
