"""Reads whole executions for publishing them again after the stream forgot them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from engine.domain.events import RecordedEvent, from_row
from sql import queries

SQL = queries.load("refill")

_ROWS_AHEAD = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Refill:
    """A shard to refill: executions above `after_id` that recorded something at or after `since`."""

    shard: int
    after_id: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """An execution and the version up to which it is published again."""

    execution_id: int
    version: int
    definition_hash: bytes | None
    path: str | None


async def heads(connection: asyncpg.Connection, refills: Sequence[Refill], limit: int) -> list[Head]:
    """The next executions of several refills, lowest id first; fewer than `limit` are the last ones."""
    rows = await connection.fetch(
        SQL.heads,
        [refill.shard for refill in refills],
        [refill.after_id for refill in refills],
        [refill.since for refill in refills],
        min(refill.after_id for refill in refills),
        limit,
    )
    return [Head(*row) for row in rows]


async def events(connection: asyncpg.Connection, wanted: Sequence[Head]) -> AsyncIterator[RecordedEvent]:
    """All events of executions up to their versions, in order; needs a transaction and holds few at once."""
    ids = [head.execution_id for head in wanted]
    versions = [head.version for head in wanted]
    async for row in connection.cursor(SQL.events, ids, versions, prefetch=_ROWS_AHEAD):
        yield from_row(row)
