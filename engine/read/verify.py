"""Proof that a snapshot equals a fresh fold of the log, and that the log says what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import asyncpg
import orjson

from engine.domain.events import RecordedEvent, content_hash, from_row
from engine.domain.execution import Execution, initial
from engine.domain.snapshot import FOLD_VERSION, state_hash
from engine.read.catch_up import reason_of, try_replay
from engine.read.history import head
from engine.read.retention import missing
from engine.read.snapshots import columns_of
from sql import queries

SQL = queries.load("snapshots")

EVENTS_AT_ONCE = 2_000
NOT_COMPARED = frozenset({"hash", "state", "labels"})


@dataclass(frozen=True, slots=True)
class Drift:
    """A snapshot that differs from the log: both hashes (hex) and the first place that differs.

    `path` is `state.<path>`, a column's name, or `event <version>` for an event whose content is not what
    was recorded; then the hashes are those of the event.
    """

    execution_id: int
    version: int
    stored: str
    fresh: str
    path: str


@dataclass(slots=True)
class Verified:
    """Executions whose snapshot is proven, those that drifted, and those that could not be checked."""

    verified: list[int] = field(default_factory=list)
    drifted: list[Drift] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)


class Untrue(Exception):  # noqa: N818  # named as the fact it reports
    """An event's content does not have the hash it was recorded with."""

    def __init__(self, version: int, recorded: bytes, found: bytes) -> None:
        super().__init__(f"event {version}")
        self.recorded = recorded.hex()
        self.found = found.hex()


async def verify(connection: asyncpg.Connection, execution_ids: Iterable[int]) -> Verified:
    """Fold each log from its first event to the snapshot's version and compare state, columns and hashes."""
    result = Verified()
    for execution_id in sorted(set(execution_ids)):
        rows = await connection.fetch(SQL.stored, [execution_id])
        if not rows:
            result.failed[execution_id] = "not_projected"
        elif rows[0]["fold_version"] != FOLD_VERSION:
            result.failed[execution_id] = f"fold_version {rows[0]['fold_version']} is not {FOLD_VERSION}"
        else:
            await _verify_one(connection, rows[0], result)
    return result


async def sample(connection: asyncpg.Connection, size: int) -> list[int]:
    """Up to `size` executions that have a snapshot, spread over all of time."""
    rows = await connection.fetch(SQL.sample, size)
    return [row["execution_id"] for row in rows if row["execution_id"] is not None]


async def _verify_one(connection: asyncpg.Connection, row: asyncpg.Record, result: Verified) -> None:
    execution_id = row["execution_id"]
    standing = await head(connection, execution_id)
    if standing is None:
        result.failed[execution_id] = (await missing(connection, execution_id)).code
        return
    state = initial(execution_id, standing.definition_hash)
    try:
        failure = await _fold(connection, state, row["version"])
    except Untrue as untrue:
        drift = Drift(execution_id, row["version"], untrue.recorded, untrue.found, str(untrue))
        result.drifted.append(drift)
        return
    if failure is not None:
        result.failed[execution_id] = failure
        return
    fresh = columns_of(state)
    path = next(_differences(row, fresh), None)
    if path is None:
        result.verified.append(execution_id)
    else:
        result.drifted.append(_drift(row, fresh, path))


async def _fold(connection: asyncpg.Connection, state: Execution, version: int) -> str | None:
    while state.version < version:
        rows = await connection.fetch(
            SQL.checkable, state.execution_id, state.version, version, EVENTS_AT_ONCE
        )
        if not rows:
            return f"the log ends at version {state.version} of {version}"
        try:
            events = [_checked(row) for row in rows]
        except ValueError as error:
            return reason_of(error)
        failure = try_replay(state, events)
        if failure is not None:
            return failure
    return None


def _checked(row: asyncpg.Record) -> RecordedEvent:
    event = from_row(row)
    found = content_hash(event)
    if found != row["content_hash"]:
        raise Untrue(event.version, row["content_hash"], found)
    return event


def _drift(row: asyncpg.Record, fresh: Mapping[str, object], path: str) -> Drift:
    stored_hash = state_hash(row["state"].encode()) if path.startswith("state") else row["hash"]
    return Drift(row["execution_id"], row["version"], bytes(stored_hash).hex(), _hex(fresh["hash"]), path)


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else ""


def _differences(row: asyncpg.Record, fresh: Mapping[str, object]) -> Iterator[str]:
    if row["state"] != fresh["state"]:
        yield _state_difference(row["state"], str(fresh["state"]))
    if row["hash"] != fresh["hash"]:
        yield "hash"
    yield from (name for name in fresh if name not in NOT_COMPARED and row[name] != fresh[name])
    if orjson.loads(row["labels"]) != orjson.loads(str(fresh["labels"])):
        yield "labels"


def _state_difference(stored: str, fresh: str) -> str:
    try:
        left = orjson.loads(stored)
    except ValueError:
        return "state"
    path = first_difference(left, orjson.loads(fresh))
    return "state" if not path else f"state.{path}"


def first_difference(left: object, right: object) -> str | None:
    """The path of the first place where two JSON values differ, keys in order; None when they are equal."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            if key not in left or key not in right:
                return str(key)
            path = first_difference(left[key], right[key])
            if path is not None:
                return f"{key}.{path}" if path else str(key)
        return None
    return None if left == right else ""
