"""Workers make themselves known with each heartbeat."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import asyncpg

from sql import queries

SQL = queries.load("workers")


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker as it describes itself; the fields are those of the row, in order.

    `tools` are those whose commands it takes; None: every command of its pool.
    """

    worker_id: str
    kind: str = "worker"
    pool: str | None = None
    slots: int | None = None
    version: str | None = None
    host: str | None = None
    tools: list[str] | None = None


async def seen(connection: asyncpg.Connection, worker: WorkerSeen) -> None:
    """Note that a worker is alive now."""
    await connection.execute(SQL.seen, *astuple(worker))
