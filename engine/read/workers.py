"""Who works: processes and workers that have made themselves known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sql import queries

SQL = queries.load("workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWorker:
    """A process or worker, and when it was last seen."""

    runtime_id: str
    kind: str
    pool: str | None
    slots: int | None
    tools: list[str] | None
    version: str | None
    host: str | None
    started_at: datetime
    seen_at: datetime


async def workers(
    connection: asyncpg.Connection, cursor: str | None, limit: int
) -> tuple[list[KnownWorker], str | None]:
    """A page by name after the cursor, and the cursor of the next page, if there is one."""
    rows = await connection.fetch(SQL.list, cursor, limit + 1)
    page = [KnownWorker(**row) for row in rows[:limit]]
    return page, page[-1].runtime_id if len(rows) > limit else None
