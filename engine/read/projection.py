"""The projection: from messages, or from the log, to snapshots that never go backwards.

    message ─▶ cached state ─▶ evolve ──────────────┐
        └─ a miss, a gap ─▶ snapshot + log's tail ──┴─▶ one guarded upsert ─▶ COMMIT ─▶ remember

Messages may come twice, in any order, or not at all: what they say is only used where it is next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from engine.domain.execution import Execution, initial
from engine.read.cache import StateCache
from engine.read.catch_up import fold_log, try_replay
from engine.read.incidents import report_poison, resolve_poison
from engine.read.messages import Message
from engine.read.snapshots import columns_of, store

EXECUTIONS_AT_ONCE = 200
SNAPSHOTS_TOPIC = "snapshots"
"""The wake topic on which (execution_id, version) of projected snapshots are announced."""


@dataclass(slots=True)
class Projected:
    """What a projection did.

    `versions` says which version each snapshot has reached at least, `events` how many were folded for it,
    `written` whose snapshot changed. `failed` executions have an incident with that reason, `unknown` ones
    are not in the log, `superseded` ones belong to a newer build of the fold. The states of `from_log`
    were read from the log, `gaps` of them because a message did not fit the remembered state.
    """

    versions: dict[int, int] = field(default_factory=dict)
    events: dict[int, int] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    superseded: set[int] = field(default_factory=set)
    from_log: set[int] = field(default_factory=set)
    gaps: int = 0


async def project(
    connection: asyncpg.Connection, messages: Iterable[Message], cache: StateCache
) -> Projected:
    """Project a batch of messages; the snapshots are committed when this returns.

    Must not run inside a transaction: the states that the cache keeps count as committed.
    """
    result = Projected()
    states: dict[int, Execution] = {}
    behind: list[int] = []
    for execution_id, parts in _unseen(messages, cache).items():
        known = cache.take(execution_id)
        before = 0 if known is None else known.version
        state = _follow(known, parts)
        if state is None:
            behind.append(execution_id)
            result.gaps += known is not None
        else:
            states[execution_id] = state
            result.events[execution_id] = state.version - before
    if behind:
        await _from_log(connection, behind, states, result)
    await _write(connection, states, result)
    for execution_id in result.versions:
        cache.keep(states[execution_id])
    return result


async def advance(connection: asyncpg.Connection, execution_ids: Iterable[int]) -> Projected:
    """Bring snapshots up to the log's end, whatever messages said; what fails never stops the rest."""
    return await _project_log(connection, execution_ids, afresh=False)


async def rebuild(connection: asyncpg.Connection, execution_ids: Iterable[int]) -> Projected:
    """Fold from the first event and write the snapshots anew, also where they only drifted."""
    return await _project_log(connection, execution_ids, afresh=True)


async def _project_log(
    connection: asyncpg.Connection, execution_ids: Iterable[int], *, afresh: bool
) -> Projected:
    result = Projected()
    wanted = sorted(set(execution_ids))
    for start in range(0, len(wanted), EXECUTIONS_AT_ONCE):
        states: dict[int, Execution] = {}
        page = wanted[start : start + EXECUTIONS_AT_ONCE]
        await _from_log(connection, page, states, result, afresh=afresh)
        await _write(connection, states, result, again=afresh)
    return result


def _unseen(messages: Iterable[Message], cache: StateCache) -> dict[int, list[Message]]:
    """What the remembered states have not seen, by execution, in version order."""
    parts: dict[int, list[Message]] = defaultdict(list)
    for message in messages:
        if message.last_version > cache.version(message.execution_id):
            parts[message.execution_id].append(message)
    for group in parts.values():
        group.sort(key=lambda message: message.first_version)
    return parts


def _follow(state: Execution | None, messages: Sequence[Message]) -> Execution | None:
    """The state after the messages; None when they do not fit, and the state is of no use."""
    if state is None:
        if messages[0].first_version != 1:
            return None
        state = initial(messages[0].execution_id, messages[0].definition_hash)
    for message in messages:
        if message.last_version > state.version:
            news = message.events[max(state.version + 1 - message.first_version, 0) :]
            if try_replay(state, news) is not None:
                return None
    return state


async def _from_log(
    connection: asyncpg.Connection,
    execution_ids: Sequence[int],
    states: dict[int, Execution],
    result: Projected,
    *,
    afresh: bool = False,
) -> None:
    async with connection.transaction():
        folded = await fold_log(connection, execution_ids, afresh=afresh)
        await report_poison(connection, folded.failed)
        await resolve_poison(connection, folded.states)
    states |= folded.states
    result.events |= folded.events
    result.failed |= folded.failed
    result.unknown |= folded.unknown
    result.from_log.update(folded.states)


async def _write(
    connection: asyncpg.Connection, states: Mapping[int, Execution], result: Projected, *, again: bool = False
) -> None:
    changed = [state for key, state in states.items() if state.version and (again or result.events[key])]
    stored = await store(
        connection, {state.execution_id: columns_of(state) for state in changed}, again=again
    )
    if stored.refused:
        async with connection.transaction():
            await report_poison(connection, stored.refused)
    result.failed |= stored.refused
    result.written |= stored.written
    result.superseded |= stored.superseded
    reached = stored.written | (result.from_log - stored.superseded - stored.refused.keys())
    result.versions |= {key: state.version for key, state in states.items() if key in reached}
