"""What the publisher does with the outbox inside the transaction that owns its shards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from sql import queries

SQL = queries.load("outbox")


class Waiting(NamedTuple):
    """A message to be published; `payload` is JSON, `attempts` counts the failures and leases so far."""

    outbox_id: int
    shard: int
    execution_id: int
    first_version: int
    last_version: int
    subject: str
    payload: str
    traceparent: str | None
    attempts: int
    created_at: datetime


async def due(
    connection: asyncpg.Connection, shards: Sequence[int], limit: int, max_bytes: int
) -> list[Waiting]:
    """Due messages of owned shards in outbox order, at most `limit` and `max_bytes`, but at least one.

    Of one shard at most its share is taken. After a message that is leased or parked no later
    one of its execution is returned.
    """
    most = -(-limit // len(shards))
    rows = await connection.fetch(SQL.due, shards, limit, most, max_bytes)
    return [Waiting._make(row) for row in rows]


async def delete_published(connection: asyncpg.Connection, outbox_ids: Sequence[int]) -> None:
    """Remove messages that are in the stream."""
    await connection.execute(SQL.delete_published, outbox_ids)
