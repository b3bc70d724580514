"""Retention of the log: partitions go whole, by positive proof, while appends and readers go on.

    prove ─▶ SHARE lock, prove again ─▶ ACCESS EXCLUSIVE lock ─▶ remember the range, TRUNCATE ─▶ COMMIT
          ─▶ keys, heads, snapshots ─▶ DETACH CONCURRENTLY, DROP of events, payloads, step logs

After the COMMIT the range is purged for everyone: the partition refuses its events, readers are told. What
follows is repeated by every purge for every purged range, so that a crash at any point is healed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from engine.domain.ids import first_id_at
from engine.domain.retention import Range, hold_text, reason_text
from engine.write import holds
from engine.write.partitions import Leaf, leaves, limit_waiting, patiently
from engine.write.remnants import Cleared, clear
from sql import queries

SQL = queries.load("retention")

LOCK_TRIES = 20
LOWEST = "low"
"""The suffix of the partition of everything before the first month; it is emptied, but stays."""
LOCKED = "readers or another purge keep it locked; the next purge tries again"


@dataclass(frozen=True, slots=True)
class Held:
    """A partition that is old enough and stays, and why."""

    partition: str
    reason: str


@dataclass(slots=True)
class Given:
    """What a purge of the log did or would do: partitions emptied, those kept, and what went with them."""

    emptied: int = 0
    held: list[Held] = field(default_factory=list)
    cleared: Cleared = field(default_factory=Cleared)


async def purge_log(
    connection: asyncpg.Connection, days: int, *, dry_run: bool = False, moment: datetime | None = None
) -> Given:
    """Purge every partition whose executions have ended and recorded nothing for so many days.

    Must not run inside a transaction. With 0 days or less it only finishes what an earlier purge began.
    `moment` stands for now, by default the database's. A dry run changes nothing.
    """
    given = Given()
    if days > 0:
        cutoff = await connection.fetchval(SQL.cutoff, days, moment)
        for leaf in await _old_enough(connection, cutoff):
            held = await _reasons(connection, leaf, cutoff)
            if not held and not dry_run:
                held = await _give_up(connection, leaf, cutoff)
            elif not held:
                await _foretell(connection, leaf, given)
            given.emptied += not held
            if held:
                given.held.append(Held(leaf.name, "; ".join(held)))
    if not dry_run:
        await _finish(connection, given)
    return given


async def _old_enough(connection: asyncpg.Connection, cutoff: datetime) -> list[Leaf]:
    """Partitions of the log that take no new ids, hold something, and are not purged yet."""
    purged = {row["name"] for row in await connection.fetch(SQL.purged)} - {LOWEST}
    found = (await leaves(connection))["event"]
    return [
        leaf
        for leaf in found
        if leaf.high_id <= first_id_at(cutoff)
        and leaf.suffix not in purged
        and await _end(connection, leaf) is not None
    ]


async def _finish(connection: asyncpg.Connection, given: Given) -> None:
    """Remove what is left of purged ranges, whoever began it and wherever it broke off."""
    for name, low, high in await connection.fetch(SQL.unfinished):
        delayed = await clear(connection, name, Range(low, high), given.cleared, stays=name == LOWEST)
        given.held += [Held(leaf, reason) for leaf, reason in delayed.items()]


async def _give_up(connection: asyncpg.Connection, leaf: Leaf, cutoff: datetime) -> list[str]:
    """Empty a partition in one transaction; returns why not."""
    try:
        async for attempt in patiently(LOCK_TRIES):
            with attempt:
                async with connection.transaction():
                    return await _empty(connection, leaf, cutoff)
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.UndefinedTableError):
        return [LOCKED]
    return []


async def _empty(connection: asyncpg.Connection, leaf: Leaf, cutoff: datetime) -> list[str]:
    """Prove again while nobody can insert; only what follows the proof keeps readers out."""
    await limit_waiting(connection)
    await holds.lock(connection)
    await connection.execute(SQL.stop_inserts, leaf.name)
    held = await _reasons(connection, leaf, cutoff)
    high = await _end(connection, leaf)
    if held or high is None:
        return held
    await connection.execute(SQL.stop_readers, leaf.name)
    await connection.execute(SQL.remember, leaf.suffix, leaf.low_id, high)
    await connection.execute(SQL.empty, leaf.suffix)
    return []


async def _end(connection: asyncpg.Connection, leaf: Leaf) -> int | None:
    """Where the purged range ends: ids of the lowest partition above those it held stay welcome."""
    if leaf.suffix != LOWEST:
        return leaf.high_id
    end: int | None = await connection.fetchval(SQL.extent, leaf.low_id, leaf.high_id)
    return end


async def _reasons(connection: asyncpg.Connection, leaf: Leaf, cutoff: datetime) -> list[str]:
    """Everything that keeps a partition; nothing is the proof that it may go."""
    rows = await connection.fetch(SQL.proof, leaf.low_id, leaf.high_id, cutoff)
    counts = Counter({row["what"]: row["number"] for row in rows})
    first = {row["what"]: row["execution_id"] for row in rows}
    held = await connection.fetch(SQL.holds_on, leaf.low_id, leaf.high_id)
    reasons = [reason_text(what, number, first[what]) for what, number in counts.items() if number]
    return reasons + [hold_text(row["name"], row["reason"]) for row in held]


async def _foretell(connection: asyncpg.Connection, leaf: Leaf, given: Given) -> None:
    (row,) = await connection.fetch(SQL.count_executions, leaf.low_id, leaf.high_id)
    given.cleared.executions += row["heads"]
    given.cleared.snapshots += row["snapshots"]
    given.cleared.dropped["event"] += leaf.suffix != LOWEST
