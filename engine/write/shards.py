"""The sixteen shards of the outbox: who owns them, what the stream confirmed, and refills after a loss.

A locked shard row is the ownership: whoever publishes or leases messages of a shard holds it first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from sql import queries

SQL = queries.load("shards")

CHECKPOINT_MARGIN_SECONDS = 600.0
"""Longer than any append takes between reading the clock and its COMMIT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A locked shard; while `refill_after` is not None nothing else of it may be published.

    `expected_seq` is the highest sequence that the stream has acknowledged for any shard.
    """

    shard: int
    generation: int
    stream_created: str | None
    refill_after: int | None
    refill_from: datetime | None
    expected_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What all shards know of the stream; `server` names the PostgreSQL that was published from.

    `this_server` is the one that answered: system identifier and timeline. `published_at` is when a message
    was last acknowledged.
    """

    last_seq: int
    published_at: datetime | None
    stream_created: str | None
    server: str | None
    generation: int
    refilling: int
    this_server: str


async def begin_pass(connection: asyncpg.Connection) -> bool:
    """Set the limits of a publisher's transaction and say whether anything may be waiting."""
    row = await connection.fetchrow(SQL.begin_pass)
    return row is not None and bool(row["waiting"])


async def prefer_indexes(connection: asyncpg.Connection) -> None:
    """Keep the planner of this transaction from scanning the outbox because it once was small."""
    await connection.execute(SQL.prefer_indexes)


async def lock(connection: asyncpg.Connection, limit: int) -> list[Shard]:
    """Own up to `limit` shards with something to do until the transaction ends, skipping owned ones."""
    return [Shard(**row) for row in await connection.fetch(SQL.lock, limit)]


async def lock_all(connection: asyncpg.Connection) -> None:
    """Own all shards, after whoever owns one now has finished."""
    await connection.execute(SQL.lock_all)


async def standing(connection: asyncpg.Connection) -> Standing:
    """What the shards know; read it before asking the stream, which is then never behind."""
    row = await connection.fetchrow(SQL.standing)
    if row is None:
        raise LookupError("the shards are missing")
    return Standing(**row)


async def adopt(connection: asyncpg.Connection, stream_created: str, server: str) -> None:
    """Remember the first stream and server."""
    await connection.execute(SQL.adopt, stream_created, server)


async def start_refills(
    connection: asyncpg.Connection, stream_created: str, last_seq: int, server: str, max_age: float
) -> None:
    """Raise the generation of all shards; refill each from its checkpoint, else the last `max_age` seconds.

    `last_seq` is what the stream still holds; own all shards first.
    """
    await connection.execute(SQL.start_refills, stream_created, last_seq, server, max_age)


async def advance_refills(connection: asyncpg.Connection, cursors: Mapping[int, int | None]) -> None:
    """Set how far the refills of owned shards are: the last execution published, None for finished."""
    await connection.execute(SQL.advance_refills, list(cursors), list(cursors.values()))


async def served(connection: asyncpg.Connection, shards: Sequence[int], last_seq: int) -> None:
    """Note a pass over owned shards; `last_seq` is 0 when the stream acknowledged nothing."""
    await connection.execute(SQL.served, shards, last_seq)


async def checkpoint(connection: asyncpg.Connection, shards: Sequence[int]) -> None:
    """Note for owned shards up to when everything is in the stream, which shortens a later refill."""
    await connection.execute(SQL.checkpoint, shards, CHECKPOINT_MARGIN_SECONDS)


async def forget_checkpoints(connection: asyncpg.Connection, shards: Sequence[int]) -> None:
    """Drop the checkpoints of shards that get old messages back."""
    await connection.execute(SQL.forget_checkpoints, shards)


async def note_published(connection: asyncpg.Connection, shards: Sequence[int]) -> None:
    """Note that messages of these shards were published, without waiting for anybody."""
    await connection.execute(SQL.note_published, shards)
