"""Numbers over all executions, each bounded in what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from engine.domain.vocabulary import TERMINAL_STATUSES, ExecutionStatus
from sql import queries

SQL = queries.load("stats")

HEADS_LOOKED_AT = 10_000
OPEN = sorted(status.value for status in set(ExecutionStatus) - TERMINAL_STATUSES)


@dataclass(frozen=True, slots=True)
class Lag:
    """How many of the newest open heads are ahead of their snapshot, and for how many seconds at most."""

    looked_at: int
    behind: int
    seconds: float


async def counts(connection: asyncpg.Connection, since: datetime) -> dict[str, int]:
    """Executions by status: all open ones, and those whose id was given out since a moment."""
    rows = await connection.fetch(SQL.counts, since, OPEN)
    found = {row["status"]: row["count"] for row in rows}
    return {status.value: found.get(status.value, 0) for status in ExecutionStatus}


async def projection_lag(connection: asyncpg.Connection) -> Lag:
    """The distance between the log and the snapshots, over the newest ten thousand open heads."""
    row = await connection.fetchrow(SQL.lag, HEADS_LOOKED_AT)
    return Lag(0, 0, 0.0) if row is None else Lag(*row)
