"""What operators did, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sql import queries

SQL = queries.load("audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something an operator did; `detail` is JSON."""

    audit_id: int
    actor: str
    action: str
    subject: str
    detail: str | None
    at: datetime


async def acts(connection: asyncpg.Connection, cursor: int, limit: int) -> tuple[list[Act], int | None]:
    """A page below the cursor, newest first, and the cursor of the next page, if there is one."""
    rows = await connection.fetch(SQL.page, cursor, limit + 1)
    page = [Act(**row) for row in rows[:limit]]
    return page, page[-1].audit_id if len(rows) > limit else None
