"""Partitions of the log, its payloads and step logs: made ahead, a month each, without stalling inserts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg
import tenacity

from engine.domain.ids import first_id_at, moment_of
from engine.errors import Purged
from engine.write.horizon import AHEAD, PURGED_DETAIL, purged_among
from sql import queries

SQL = queries.load("partitions")

PARTITIONED = ("event", "payload", "step_log")
MONTHS_AHEAD = 2
MOST_LEAVES = 64
"""Statements that cannot know their partition when they are planned lock all of them."""
LOCK_WAIT = "50ms"
"""Whoever comes after us waits behind us: this bounds what a refused lock costs others."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A partition of executions from `low_id` on, below `high_id`."""

    parent: str
    name: str
    low_id: int
    high_id: int
    is_pending: bool

    @property
    def suffix(self) -> str:
        """Its month, `low` for everything before the first."""
        return self.name.removeprefix(f"{self.parent}_")


def patiently(tries: int) -> tenacity.AsyncRetrying:
    """Try a transaction again, with jitter, whose lock others hold; the last error is raised."""
    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(
            (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
        ),
        stop=tenacity.stop_after_attempt(tries),
        wait=tenacity.wait_random(0.1, 0.5),
        reraise=True,
    )


async def limit_waiting(connection: asyncpg.Connection) -> None:
    """For this transaction: give up a lock that is not had at once, with `LockNotAvailableError`."""
    await connection.execute(SQL.limit_waiting, LOCK_WAIT)


async def leaves(connection: asyncpg.Connection) -> dict[str, list[Leaf]]:
    """Every partition by table, in the order of the ids."""
    found: dict[str, list[Leaf]] = {parent: [] for parent in PARTITIONED}
    for row in await connection.fetch(SQL.leaves):
        found[row["parent"]].append(Leaf(*row))
    return found


async def ensure_ahead(
    connection: asyncpg.Connection, months: int = MONTHS_AHEAD, *, moment: datetime | None = None
) -> list[str]:
    """Make what is missing up to `months` after the current one; returns the names of new partitions.

    `moment` stands for now, by default the database's. One process at a time does this; the others return
    at once with nothing. Raises asyncpg's `LockNotAvailableError` while others hold the tables.
    """
    async with connection.transaction():
        if not await connection.fetchval(SQL.try_lock):
            return []
        await limit_waiting(connection)
        return await _add_months(connection, months, moment)


async def ahead(connection: asyncpg.Connection) -> int:
    """How many partitions begin after now, in the table that has the fewest."""
    now = first_id_at(await connection.fetchval(SQL.now))
    found = await leaves(connection)
    return min(sum(leaf.low_id > now for leaf in found[parent]) for parent in PARTITIONED)


async def make_for(connection: asyncpg.Connection, execution_ids: Collection[int]) -> bool:
    """Make the partitions that these executions lack, in a transaction of its own; whether all have one now.

    False: an id lies more than a day in the future, or there are 64 partitions. Raises `Purged` when
    retention has removed one of them, and asyncpg's `LockNotAvailableError` while others hold the tables.
    """
    async for attempt in patiently(5):
        with attempt:
            async with connection.transaction():
                return await _make_for(connection, execution_ids)
    return False


async def _make_for(connection: asyncpg.Connection, execution_ids: Collection[int]) -> bool:
    await limit_waiting(connection)
    moment = await connection.fetchval(SQL.wait_lock)
    if await purged_among(connection, execution_ids):
        raise Purged(PURGED_DETAIL)
    if max(execution_ids) >= first_id_at(moment + AHEAD):
        return False
    while homeless := _homeless(await leaves(connection), execution_ids):
        if not await _add_months(connection, 0, moment_of(homeless[0]), homeless[0]):
            return False
    return True


def _homeless(found: Mapping[str, Iterable[Leaf]], execution_ids: Iterable[int]) -> list[int]:
    """The executions that lack a partition in one of the tables, lowest first."""
    return [
        execution_id
        for execution_id in sorted(execution_ids)
        if not all(_is_covered(present, execution_id) for present in found.values())
    ]


async def _add_months(
    connection: asyncpg.Connection, months: int, moment: datetime | None, execution_id: int | None = None
) -> list[str]:
    """Add the month of a moment and those after it, around an execution or else behind the newest."""
    made: list[str] = []
    found = await leaves(connection)
    for month in await connection.fetch(SQL.months, months, moment):
        for parent in PARTITIONED:
            present = found[parent]
            newest = max((leaf.high_id for leaf in present), default=0)
            around = max(newest, month["low"]) if execution_id is None else execution_id
            wanted = Leaf(
                parent, f"{parent}_{month['suffix']}", month["low"], month["high"], is_pending=False
            )
            if _has_room(present, wanted, around):
                leaf = _between_neighbours(present, wanted, around)
                await connection.execute(SQL.add, parent, leaf.suffix, leaf.low_id, leaf.high_id)
                present.append(leaf)
                made.append(leaf.name)
    return made


def _is_covered(present: Iterable[Leaf], execution_id: int) -> bool:
    return any(leaf.low_id <= execution_id < leaf.high_id for leaf in present)


def _has_room(present: Collection[Leaf], wanted: Leaf, around: int) -> bool:
    return (
        len(present) < MOST_LEAVES
        and around < wanted.high_id
        and not _is_covered(present, around)
        and all(leaf.name != wanted.name for leaf in present)
    )


def _between_neighbours(present: Collection[Leaf], wanted: Leaf, around: int) -> Leaf:
    low = max([wanted.low_id, *(leaf.high_id for leaf in present if leaf.high_id <= around)])
    high = min([wanted.high_id, *(leaf.low_id for leaf in present if leaf.low_id > around)])
    return replace(wanted, low_id=low, high_id=high)
