"""Holds: ranges of executions that no purge removes, each with a name and a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from engine.domain.retention import Range
from engine.errors import NotFound
from sql import queries

SQL = queries.load("retention")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold on the executions from `low_id` on, below `high_id`."""

    name: str
    low_id: int
    high_id: int
    reason: str
    created_at: datetime


async def lock(connection: asyncpg.Connection) -> None:
    """Until the transaction ends nobody else places a hold or gives up a partition."""
    await connection.execute(SQL.lock)


async def place(connection: asyncpg.Connection, name: str, held: Range, reason: str) -> list[str]:
    """Hold executions back from every purge that has not given them up yet; the same name moves the hold.

    Returns the months in the range that are purged already, which nothing brings back.
    """
    async with connection.transaction():
        await lock(connection)
        await connection.execute(SQL.hold, name, held.low, held.high, reason)
        return [row["name"] for row in await connection.fetch(SQL.purged_within, held.low, held.high)]


async def lift(connection: asyncpg.Connection, name: str) -> None:
    """End a hold; raises `NotFound` when there is none of that name."""
    if await connection.fetchval(SQL.lift, name) is None:
        raise NotFound(f"there is no hold named {name}", code="unknown_hold")


async def holds(
    connection: asyncpg.Connection, cursor: str | None, limit: int
) -> tuple[list[Hold], str | None]:
    """A page by name after the cursor, and the cursor of the next page, if there is one."""
    rows = await connection.fetch(SQL.holds, cursor, limit + 1)
    page = [Hold(**row) for row in rows[:limit]]
    return page, page[-1].name if len(rows) > limit else None
