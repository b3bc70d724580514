"""Lines that tools wrote, kept beside the log; a line sent twice is stored once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from engine.write.store import columns
from sql import queries

SQL = queries.load("step_logs")


class Line(NamedTuple):
    """One line of an attempt; `seq` counts within the command."""

    execution_id: int
    command_id: int
    seq: int
    step: str
    attempt: int
    stream: str
    line: str
    logged_at: datetime


async def store(connection: asyncpg.Connection, lines: Sequence[Line]) -> int:
    """Store lines; returns how many are new."""
    if not lines:
        return 0
    # In key order, so that two requests with the same lines wait for each other instead of deadlocking.
    return len(await connection.fetch(SQL.store, *columns(sorted(lines))))
