"""Finds executions whose snapshot is missing or behind, or that are stalled, page by page.

Each pass remembers its place in the database, but only once the page before it has been healed. Several
processes may be at the same page: healing twice changes nothing, and one of them moves the pass on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg

from engine.domain.snapshot import FOLD_VERSION
from sql import queries

SQL = queries.load("sweep")

LIVE, ENDED, REFOLD, STALLED = "sweep_live", "sweep_ended", "refold", "stalled"
PAGE = 1_000
SETTLED_SECONDS = 5.0
QUIET_SECONDS = 60.0
OVERLAP = timedelta(seconds=60)
FROM_THE_START = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A pass and its move: from a cursor and the moment its last round began, to the next ones."""

    name: str
    cursor: int
    finished_at: datetime
    next_cursor: int
    next_finished_at: datetime


@dataclass(frozen=True, slots=True)
class Swept:
    """Executions to be seen to, and whether the pass has more pages; then `keep` moves it on by `step`."""

    execution_ids: list[int] = field(default_factory=list)
    more: bool = False
    step: Step | None = None


async def keep(connection: asyncpg.Connection, swept: Swept) -> None:
    """Remember that the page has been healed: the next one begins after it."""
    step = swept.step
    if step is not None:
        await connection.execute(
            SQL.save_pass,
            step.name,
            step.cursor,
            step.finished_at,
            step.next_cursor,
            step.next_finished_at,
        )


async def sweep_live(
    connection: asyncpg.Connection, *, limit: int = PAGE, settled_seconds: float = SETTLED_SECONDS
) -> Swept:
    """The next page of live heads: those that have been ahead of their snapshot for some seconds."""
    place = await _place(connection, LIVE)
    if place is None:
        return Swept()
    rows = await connection.fetch(SQL.live, place.cursor, limit, settled_seconds)
    return _by_id(place, rows, limit)


async def sweep_stalled(
    connection: asyncpg.Connection, *, limit: int = PAGE, quiet_seconds: float = QUIET_SECONDS
) -> Swept:
    """The next page of live heads: those in which nobody has had the next move for so many seconds.

    Only what is projected is looked at, by the rows that move executions on: commands, timers, messages and
    children, and not by what the state says of them.
    """
    place = await _place(connection, STALLED)
    if place is None:
        return Swept()
    rows = await connection.fetch(SQL.stalled, place.cursor, limit, quiet_seconds)
    return _by_id(place, rows, limit)


async def refold(connection: asyncpg.Connection, *, limit: int = PAGE) -> Swept:
    """The next page of snapshots: those that an older fold has made; without any, nothing is read."""
    if not await connection.fetchval(SQL.old_fold, FOLD_VERSION):
        return Swept()
    place = await _place(connection, REFOLD)
    if place is None:
        return Swept()
    rows = await connection.fetch(SQL.refold, place.cursor, limit, FOLD_VERSION)
    return _by_id(place, rows, limit)


async def sweep_ended(connection: asyncpg.Connection, *, limit: int = PAGE) -> Swept:
    """The next page of heads that ended: those whose snapshot is missing or behind.

    What is recorded after the end makes a head come again. A round begins 60 seconds before the last one
    ended, as events have their time before they are committed.
    """
    place = await _place(connection, ENDED)
    if place is None:
        return Swept()
    rows = await connection.fetch(SQL.ended, place.finished_at, place.cursor, limit)
    if len(rows) == limit:
        return _swept(place, rows, rows[-1]["execution_id"], rows[-1]["quiet_since"], more=True)
    return _swept(place, rows, FROM_THE_START, place.moment - OVERLAP, more=False)


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    cursor: int
    finished_at: datetime
    moment: datetime


async def _place(connection: asyncpg.Connection, name: str) -> _Place | None:
    row = await connection.fetchrow(SQL.begin_pass, name)
    return None if row is None else _Place(name, *row)


def _by_id(place: _Place, rows: list[asyncpg.Record], limit: int) -> Swept:
    if len(rows) == limit:
        return _swept(place, rows, rows[-1]["execution_id"], place.finished_at, more=True)
    return _swept(place, rows, FROM_THE_START, place.moment, more=False)


def _swept(
    place: _Place, rows: list[asyncpg.Record], cursor: int, finished_at: datetime, *, more: bool
) -> Swept:
    wanted = [row["execution_id"] for row in rows if row["is_wanted"]]
    return Swept(wanted, more, Step(place.name, place.cursor, place.finished_at, cursor, finished_at))
