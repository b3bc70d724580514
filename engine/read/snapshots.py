"""Rows of the read model: how a state is stored, and the one guarded write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
import orjson

from engine.domain.execution import Execution
from engine.domain.snapshot import FOLD_VERSION, encode, state_hash
from engine.read.catch_up import reason_of
from sql import queries

SQL = queries.load("snapshots")

Columns = dict[str, object]

UNSTORABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


@dataclass(slots=True)
class Stored:
    """What a write changed, whom a newer build has folded already, and what the database refuses."""

    written: set[int] = field(default_factory=set)
    superseded: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)


def columns_of(state: Execution) -> Columns:
    """The columns of a state's snapshot, in the order of the statement that writes them."""
    encoded = encode(state)
    return {
        "execution_id": state.execution_id,
        "version": state.version,
        "fold_version": FOLD_VERSION,
        "hash": state_hash(encoded),
        "status": state.status.value,
        "path": state.path,
        "playbook_version": state.playbook_version,
        "definition_hash": state.definition_hash,
        "parent_id": None if state.parent is None else state.parent.execution_id,
        "labels": orjson.dumps(state.labels).decode(),
        "started_at": state.started_at or state.recorded_at,
        "ended_at": state.ended_at,
        "recorded_at": state.recorded_at,
        "output_version": None if state.output is None else state.output.version,
        "error_version": None if state.error is None else state.error.version,
        "state": encoded.decode(),
    }


async def store(
    connection: asyncpg.Connection, rows: Mapping[int, Columns], *, again: bool = False
) -> Stored:
    """Write snapshots, committed when this returns; a row that is not newer than the stored one is left.

    `again` also writes rows of the stored version and fold. A row that the database refuses is found by
    bisection, so that it does not stop the others.
    """
    stored = Stored()
    await _store(connection, list(rows.values()), stored, again=again)
    rest = [execution_id for execution_id in rows if execution_id not in stored.written]
    rest = [execution_id for execution_id in rest if execution_id not in stored.refused]
    if rest:
        async with connection.transaction():
            newer = await connection.fetch(SQL.newer_folds, rest, FOLD_VERSION)
        stored.superseded = {row["execution_id"] for row in newer}
    return stored


async def _store(
    connection: asyncpg.Connection, rows: Sequence[Columns], stored: Stored, *, again: bool
) -> None:
    if not rows:
        return
    arrays = [list(column) for column in zip(*(row.values() for row in rows), strict=True)]
    try:
        async with connection.transaction():
            if again:
                await connection.execute(SQL.drop_impossible, [row["execution_id"] for row in rows])
            written = await connection.fetch(SQL.upsert, again, *arrays)
    except UNSTORABLE as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            await _store(connection, rows[:middle], stored, again=again)
            await _store(connection, rows[middle:], stored, again=again)
        else:
            stored.refused[_id_of(rows[0])] = f"the snapshot cannot be stored: {reason_of(error)}"
    else:
        stored.written.update(row["execution_id"] for row in written)


def _id_of(row: Columns) -> int:
    execution_id = row["execution_id"]
    if not isinstance(execution_id, int):
        raise TypeError("execution_id is an integer")
    return execution_id
