"""Leases that have run out, where expiring them fails."""

from __future__ import annotations

import asyncpg

from engine.write.requests import Request
from sql import queries

SQL = queries.load("commands")


async def postpone(connection: asyncpg.Connection, request: Request, seconds: float) -> None:
    """Let a lease that is still expired wait behind the others."""
    await connection.execute(SQL.postpone, request.events[0].command_id, seconds)
