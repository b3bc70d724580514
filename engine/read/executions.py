"""One execution as readers see it: from its snapshot in one statement, or as it was at a version."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
import orjson

from engine.domain.carried import carried_value
from engine.domain.execution import Execution, Pointer
from engine.domain.snapshot import FOLD_VERSION, load
from engine.read import history
from engine.read.describe import (
    Json,
    Pools,
    Values,
    claimed_from,
    describe,
    describe_attempts,
    describe_steps,
    signals_of,
)
from engine.read.incidents import Incident, hindering
from sql import queries

SQL = queries.load("executions")

ATTEMPT_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class Found:
    """An execution's public JSON with the version and fold that it shows."""

    document: Json
    version: int
    fold_version: int

    @property
    def etag(self) -> str:
        """The entity tag, without quotes: `<version>.<fold_version>`."""
        return f"{self.version}.{self.fold_version}"


async def get(connection: asyncpg.Connection, execution_id: int) -> Found | None:
    """An execution as of its snapshot, None while nothing of it is projected."""
    row = await _snapshot(connection, execution_id)
    if row is None:
        return None
    state = await _state(connection, execution_id, row)
    values = Values(inputs=_value(row, "inputs"), output=_value(row, "output"), error=_value(row, "error"))
    return Found(describe(state, values, _pools(row["pools"])), row["version"], row["fold_version"])


async def get_at(connection: asyncpg.Connection, execution_id: int, version: int) -> Found:
    """An execution as it was at a version, folded from the log.

    Raises `NotFound` for an unknown execution.
    """
    state = await history.state_at(connection, execution_id, version)
    pools = None
    if state.definition_hash is not None:
        pools = _pools(await connection.fetchval(SQL.pools, state.definition_hash))
    values = Values(
        inputs=await _carried(connection, execution_id, state.inputs),
        output=await _carried(connection, execution_id, state.output),
        error=await _carried(connection, execution_id, state.error),
    )
    return Found(describe(state, values, pools), state.version, FOLD_VERSION)


async def by_key(connection: asyncpg.Connection, key: str) -> int | None:
    """The execution that a caller's own key names."""
    execution_id: int | None = await connection.fetchval(SQL.by_key, key)
    return execution_id


async def steps(connection: asyncpg.Connection, execution_id: int) -> list[Json] | None:
    """All steps of an execution, also those that have not begun; None while nothing is projected."""
    row = await _snapshot(connection, execution_id)
    if row is None:
        return None
    return describe_steps(await _state(connection, execution_id, row), _pools(row["pools"]))


async def incidents(connection: asyncpg.Connection, execution_id: int) -> list[Incident]:
    """The open incidents of an execution and of the pools whose workers it waits for, oldest first."""
    row = await _snapshot(connection, execution_id)
    pools = () if row is None else claimed_from(await _state(connection, execution_id, row))
    return await hindering(connection, execution_id, pools)


async def attempts(connection: asyncpg.Connection, execution_id: int, step: str) -> list[Json]:
    """The attempts of one step from the log, oldest first; its first thousand events count."""
    events = await history.of_step(connection, execution_id, step, limit=ATTEMPT_EVENTS)
    signals = {
        version: await _carried(connection, execution_id, Pointer(version, 0))
        for version in signals_of(events)
    }
    standing = await history.head(connection, execution_id)
    return describe_attempts(events, signals, None if standing is None else standing.ended_at)


async def _snapshot(connection: asyncpg.Connection, execution_id: int) -> asyncpg.Record | None:
    return await connection.fetchrow(SQL.snapshot, execution_id)


async def _state(connection: asyncpg.Connection, execution_id: int, row: asyncpg.Record) -> Execution:
    try:
        return load(orjson.loads(row["state"]))
    except (LookupError, TypeError, ValueError):
        if row["fold_version"] == FOLD_VERSION:
            raise
    # Another build's fold may have another form; the log is the same for all.
    return await history.state_at(connection, execution_id, row["version"])


async def _carried(connection: asyncpg.Connection, execution_id: int, pointer: Pointer | None) -> object:
    if pointer is None:
        return None
    at = pointer.version
    found = await history.events(connection, execution_id, after_version=at - 1, up_to=at)
    return carried_value(found[0].event_type, found[0].payload) if found else None


def _value(row: asyncpg.Record, what: str) -> object:
    payload = row[f"{what}_payload"]
    return None if payload is None else carried_value(row[f"{what}_type"], orjson.loads(payload))


def _pools(stored: str | None) -> Pools | None:
    if stored is None:
        return None
    pools: Pools = orjson.loads(stored)
    return pools
