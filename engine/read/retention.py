"""What retention has removed, and the partitions that it removes: for readers."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from engine.domain.retention import reason_text
from engine.errors import NotFound, PlaylogError, Purged
from sql import queries

SQL = queries.load("retention")
PARTITIONS = queries.load("partitions")


async def missing(connection: asyncpg.Connection, execution_id: int) -> PlaylogError:
    """The error for an execution without a head: `Purged`, or `NotFound` when there never was one."""
    if await connection.fetchval(SQL.is_purged, execution_id):
        return Purged(f"retention has removed the executions of the time of {execution_id}")
    return NotFound(f"there is no execution {execution_id}", code="unknown_execution")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition of executions from `low_id` on, below `high_id`.

    `held` gives the reasons why a purge would keep it that are cheap to know: a live execution, holds.
    """

    parent: str
    name: str
    low_id: int
    high_id: int
    rows_estimate: int
    bytes: int
    held: list[str]


async def partitions(
    connection: asyncpg.Connection, cursor: str | None, limit: int
) -> tuple[list[Partition], str | None]:
    """A page by name after the cursor, and the cursor of the next page, if there is one."""
    rows = await connection.fetch(PARTITIONS.list, cursor, limit + 1)
    page = [_partition(row) for row in rows[:limit]]
    return page, page[-1].name if len(rows) > limit else None


def _partition(row: asyncpg.Record) -> Partition:
    held = [] if row["live"] is None else [reason_text("live", 1, row["live"])]
    held += [f"hold '{name}'" for name in row["holds"]]
    return Partition(
        parent=row["parent"],
        name=row["name"],
        low_id=row["low_id"],
        high_id=row["high_id"],
        rows_estimate=row["rows_estimate"],
        bytes=row["bytes"],
        held=held,
    )
