"""What is left of a purged range once its events are gone: rows by batches, partitions whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import asyncpg

from engine.domain.ids import moment_of
from engine.domain.retention import Range
from engine.write.partitions import PARTITIONED
from sql import queries

SQL = queries.load("retention")

BATCH = 1_000
LARGE_BATCH = 50
"""A payload may have 16 MiB."""
DETACH_SECONDS = 15.0
DELAYED = "it is empty; a long transaction delays its removal, which the next purge goes on with"
_DELAYS = (
    TimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.QueryCanceledError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.UndefinedTableError,
)
"""A long transaction that may read the partition, or another purge that is at it."""


@dataclass(slots=True)
class Cleared:
    """How many rows went, and how many partitions of each table were dropped."""

    executions: int = 0
    snapshots: int = 0
    keys: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


async def clear(
    connection: asyncpg.Connection, name: str, purged: Range, cleared: Cleared, *, stays: bool
) -> dict[str, str]:
    """Remove what a purged range still has; returns the partitions that could not be removed yet, with why.

    A partition that `stays` loses the rows of the range instead.
    """
    cleared.keys += await _delete_keys(connection, purged)
    cleared.executions += await _delete(connection, SQL.delete_heads, purged, BATCH)
    cleared.snapshots += await _delete(connection, SQL.delete_snapshots, purged, BATCH)
    delayed = {} if stays else await _drop(connection, [f"{p}_{name}" for p in PARTITIONED], purged, cleared)
    if not delayed:
        await _delete(connection, SQL.delete_payloads, purged, LARGE_BATCH)
        await _delete(connection, SQL.delete_logs, purged, BATCH)
    return delayed


async def _delete(connection: asyncpg.Connection, statement: str, purged: Range, batch: int) -> int:
    removed = 0
    place = purged.low
    while True:
        (row,) = await connection.fetch(statement, place, purged.high, batch)
        gone: int = row["number"]
        removed += gone
        if gone < batch:
            return removed
        place = row["last"]


async def _delete_keys(connection: asyncpg.Connection, purged: Range) -> int:
    removed = 0
    bounds = (purged.low, purged.high, moment_of(purged.low), moment_of(purged.high))
    while True:
        status = await connection.execute(SQL.delete_keys, *bounds, BATCH)
        batch = int(status.rpartition(" ")[2])
        removed += batch
        if batch < BATCH:
            return removed


async def _drop(
    connection: asyncpg.Connection, names: Iterable[str], purged: Range, cleared: Cleared
) -> dict[str, str]:
    delayed = {}
    for name in names:
        try:
            detaching = await connection.fetchval(SQL.detach, name, purged.low, purged.high)
            if detaching is not None:
                await connection.execute(detaching, timeout=DETACH_SECONDS)
            if await connection.fetchval(SQL.drop_detached, name):
                cleared.dropped[name.rpartition("_")[0]] += 1
        except _DELAYS:
            delayed[name] = DELAYED
    return delayed
