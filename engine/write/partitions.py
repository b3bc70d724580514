"""Partitions of the log, its payloads and step logs: made ahead, a month each, without stalling inserts."""

from __future__ import annotations

from datetime import datetime

import asyncpg

from sql import queries

SQL = queries.load("partitions")

PARTITIONED = ("event", "payload", "step_log")
MONTHS_AHEAD = 2


async def ensure_ahead(
    connection: asyncpg.Connection, months: int = MONTHS_AHEAD, *, moment: datetime | None = None
) -> list[str]:
    """Make what is missing up to `months` after the current one; returns the names of new partitions.

    `moment` stands for now, by default the database's. One process at a time does this; the others return
    at once with nothing.
    """
    made: list[str] = []
    async with connection.transaction():
        if not await connection.fetchval(SQL.lock):
            return made
        await connection.execute("set local lock_timeout = '200ms'")
        bounds = await connection.fetch(SQL.months, months, moment)
        for parent in PARTITIONED:
            newest = await connection.fetchval(SQL.newest, parent)
            for month in bounds:
                if newest is None or month["high"] > newest:
                    low = month["low"] if newest is None else max(month["low"], newest)
                    await connection.execute(SQL.add, parent, month["suffix"], low, month["high"])
                    made.append(f"{parent}_{month['suffix']}")
    return made
