"""Bring the states of locked executions up to their heads, and fetch what deciding lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import asyncpg
import orjson

from engine.domain.advance import replay
from engine.domain.definition import Definition
from engine.domain.events import RecordedEvent, from_row
from engine.domain.execution import initial
from engine.domain.handles import held_value
from engine.domain.snapshot import FOLD_VERSION, load
from engine.write.cache import Cache, Remembered
from engine.write.compiling import compiled
from sql import queries

SQL = queries.load("append")


async def states(
    connection: asyncpg.Connection, cache: Cache, heads: Iterable[asyncpg.Record]
) -> dict[int, Remembered]:
    """The state of each locked head, from the cache where it agrees, else caught up or folded anew."""
    found: dict[int, Remembered] = {}
    behind: dict[int, asyncpg.Record] = {}
    for head in heads:
        execution_id = head["execution_id"]
        remembered = cache.take(execution_id)
        if remembered is not None and _is_prefix(remembered, head):
            found[execution_id] = remembered
        if remembered is None or remembered.state.version != head["version"] or execution_id not in found:
            behind[execution_id] = head
    fresh = [execution_id for execution_id in behind if execution_id not in found]
    found |= await _baselines(connection, fresh, behind)
    grown = {
        execution_id: found[execution_id]
        for execution_id, head in behind.items()
        if found[execution_id].state.version < head["version"]
    }
    if grown:
        await _catch_up(connection, grown)
    return found


def _is_prefix(remembered: Remembered, head: asyncpg.Record) -> bool:
    state = remembered.state
    if state.version == head["version"]:
        return bool(state.last_event_id == (head["last_event_id"] or 0))
    return bool(state.version < head["version"])


async def _baselines(
    connection: asyncpg.Connection, fresh: list[int], heads: Mapping[int, asyncpg.Record]
) -> dict[int, Remembered]:
    states = {
        execution_id: Remembered(initial(execution_id, heads[execution_id]["definition_hash"]))
        for execution_id in fresh
    }
    unborn = all(heads[execution_id]["version"] == 0 for execution_id in fresh)
    if fresh and not unborn:
        for row in await connection.fetch(SQL.baselines, fresh, FOLD_VERSION):
            if row["version"] <= heads[row["execution_id"]]["version"]:
                states[row["execution_id"]] = Remembered(load(orjson.loads(row["state"])))
    return states


async def _catch_up(connection: asyncpg.Connection, behind: Mapping[int, Remembered]) -> None:
    tails: dict[int, list[RecordedEvent]] = {execution_id: [] for execution_id in behind}
    versions = [remembered.state.version for remembered in behind.values()]
    for row in await connection.fetch(SQL.tails, list(behind), versions):
        tails[row["execution_id"]].append(from_row(row))
    for execution_id, remembered in behind.items():
        replay(remembered.state, tails[execution_id])


async def definitions(
    connection: asyncpg.Connection, cache: Cache, hashes: Collection[bytes]
) -> dict[bytes, Definition | Exception]:
    """Compiled definitions by hash; what is not remembered is read in one statement.

    Where this build cannot compile one, why not: an execution can end without it, but not be decided.
    """
    found: dict[bytes, Definition | Exception] = {}
    for wanted in hashes:
        found[wanted] = cache.definition(wanted) or LookupError("the definition is not stored")
    missing = [wanted for wanted, known in found.items() if isinstance(known, Exception)]
    if missing:
        rows = await connection.fetch(SQL.definitions, missing)
        found |= {row["definition_hash"]: await _compiled(row["canonical"]) for row in rows}
        cache.keep_definitions(known for known in found.values() if isinstance(known, Definition))
    return found


async def _compiled(canonical: str) -> Definition | Exception:
    try:
        return await compiled(canonical.encode())
    except Exception as error:  # noqa: BLE001  # another build may have written what this one cannot read
        return error


async def values(
    connection: asyncpg.Connection, wanted: Mapping[int, Collection[int]]
) -> dict[int, dict[int, object]]:
    """The values that events at these versions carry, by execution and version."""
    pairs = [(execution_id, version) for execution_id, versions in wanted.items() for version in versions]
    found: dict[int, dict[int, object]] = {execution_id: {} for execution_id in wanted}
    if pairs:
        execution_ids, versions = zip(*pairs, strict=True)
        for row in await connection.fetch(SQL.carried, list(execution_ids), list(versions)):
            payload = None if row["payload"] is None else orjson.loads(row["payload"])
            found[row["execution_id"]][row["version"]] = held_value(row["event_type"], payload)
    return found
