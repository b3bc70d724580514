"""Holds: ranges of executions that no purge removes, each with a name and a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from engine.domain.retention import Range
from engine.errors import NotFound
from engine.write.audit import note
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


async def place(
    connection: asyncpg.Connection, name: str, held: Range, reason: str, *, actor: str
) -> list[str]:
    """Hold executions back from every purge that has not given them up yet; the same name moves the hold.

    It is audited as done by `actor`. Returns the months in the range that are purged already, which nothing
    brings back.
    """
    async with connection.transaction():
        await lock(connection)
        await connection.execute(SQL.hold, name, held.low, held.high, reason)
        detail = {"low_id": str(held.low), "high_id": str(held.high), "reason": reason}
        await note(connection, "hold.place", name, detail, actor=actor)
        return [row["name"] for row in await connection.fetch(SQL.purged_within, held.low, held.high)]


async def lift(connection: asyncpg.Connection, name: str, *, actor: str) -> None:
    """End a hold, audited as done by `actor`; raises `NotFound` when there is none of that name."""
    async with connection.transaction():
        if await connection.fetchval(SQL.lift, name) is None:
            raise NotFound(f"there is no hold named {name}", code="unknown_hold")
        await note(connection, "hold.lift", name, {}, actor=actor)


async def holds(
    connection: asyncpg.Connection, cursor: str | None, limit: int
) -> tuple[list[Hold], str | None]:
    """A page by name after the cursor, and the cursor of the next page, if there is one."""
    rows = await connection.fetch(SQL.holds, cursor, limit + 1)
    page = [Hold(**row) for row in rows[:limit]]
    return page, page[-1].name if len(rows) > limit else None
