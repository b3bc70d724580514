"""Lines that tools wrote, kept beside the log; a line sent twice is stored once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from engine.errors import Invalid
from engine.write.partitions import make_for
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


class Stored(NamedTuple):
    """A line that is new, by its execution; `level` is what followers of that have to read up to."""

    execution_id: int
    level: int


async def store(connection: asyncpg.Connection, lines: Sequence[Line]) -> list[Stored]:
    """Store lines; returns those that are new.

    Raises `Purged` for an execution that retention has removed, `Invalid` for one far in the future.
    """
    if not lines:
        return []
    try:
        return await _store(connection, lines)
    except asyncpg.CheckViolationError as missing:
        if missing.constraint_name is not None:
            raise
    if not await make_for(connection, {line.execution_id for line in lines}):
        raise Invalid("no partition of the log takes this execution_id", code="id_out_of_range")
    return await _store(connection, lines)


async def _store(connection: asyncpg.Connection, lines: Sequence[Line]) -> list[Stored]:
    # In key order, so that two requests with the same lines wait for each other instead of deadlocking.
    rows = await connection.fetch(SQL.store, *columns(sorted(lines)))
    return [Stored(row["execution_id"], 2 * row["arrived"]) for row in rows]
