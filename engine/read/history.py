"""The log of one execution: its events, where it stands, and its state at any version."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from engine.domain.advance import replay
from engine.domain.events import RecordedEvent, from_row
from engine.domain.execution import Execution, initial
from engine.read.retention import missing
from sql import queries

SQL = queries.load("history")

NEWEST = 2**31 - 1
EVENTS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log stands; without a definition hash the execution is foreign."""

    version: int
    status: str
    definition_hash: bytes | None
    recorded_at: datetime
    ended_at: datetime | None


async def head(connection: asyncpg.Connection, execution_id: int) -> Head | None:
    """The head of an execution, None when there is none or it is purged."""
    row = await connection.fetchrow(SQL.head, execution_id)
    return None if row is None else Head(*row)


async def events(
    connection: asyncpg.Connection,
    execution_id: int,
    *,
    after_version: int = 0,
    up_to: int = NEWEST,
    limit: int = EVENTS_AT_ONCE,
    types: Collection[str] | None = None,
) -> list[RecordedEvent]:
    """Events in version order, after one version and up to another, at most `limit`."""
    wanted = None if types is None else list(types)
    rows = await connection.fetch(SQL.events, execution_id, after_version, up_to, wanted, limit)
    return [from_row(row) for row in rows]


async def prefix(
    connection: asyncpg.Connection, execution_id: int, version: int
) -> AsyncIterator[list[RecordedEvent]]:
    """All events up to a version, in pages."""
    reached = 0
    while reached < version:
        page = await events(connection, execution_id, after_version=reached, up_to=version)
        if not page:
            return
        yield page
        reached = page[-1].version


async def state_at(connection: asyncpg.Connection, execution_id: int, version: int) -> Execution:
    """The state as it was at a version; beyond the log's end the state at its end.

    Raises `NotFound` for an unknown execution, `Purged` for one that is gone, and `NewerEngine` for events
    of a newer build.
    """
    standing = await head(connection, execution_id)
    if standing is None:
        raise await missing(connection, execution_id)
    state = initial(execution_id, standing.definition_hash)
    async for page in prefix(connection, execution_id, version):
        replay(state, page)
    return state


async def version_at(connection: asyncpg.Connection, execution_id: int, moment: datetime) -> int:
    """The last version recorded up to a moment; 0 when nothing was."""
    version: int = await connection.fetchval(SQL.version_at, execution_id, moment)
    return version


async def of_step(
    connection: asyncpg.Connection,
    execution_id: int,
    step: str,
    *,
    after_version: int = 0,
    limit: int = EVENTS_AT_ONCE,
) -> list[RecordedEvent]:
    """The events that name a step, in version order."""
    rows = await connection.fetch(SQL.of_step, execution_id, step, after_version, limit)
    return [from_row(row) for row in rows]
