"""Payloads as readers fetch them: the bytes that were stored, by execution and hash."""

from __future__ import annotations

import asyncpg

from engine.domain.handles import PayloadKey
from sql import queries

SQL = queries.load("payloads")


async def body(connection: asyncpg.Connection, key: PayloadKey) -> bytes | None:
    """The bytes of a payload, None when none is stored under that execution and hash."""
    found: bytes | None = await connection.fetchval(SQL.body, key.execution_id, key.sha256)
    return found
