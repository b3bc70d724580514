"""The append: one transaction that judges, records and decides for a group of requests.

    keys ─▶ heads FOR UPDATE ─▶ deliveries FOR UPDATE ─▶ payloads ─▶ probe ─▶ states
         ─▶ clock, commands ─▶ probe ─▶ judge, record, decide ─▶ write ─▶ COMMIT

Each execution is decided under its own head's lock. Every statement of a group serves all its requests.
Requests that only repeat what other systems' executions have recorded are answered by the first probe;
a group that changes nothing is rolled back, which spares the flush of a COMMIT.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from engine.domain.admit import CommandFact, rejected
from engine.domain.execution import initial
from engine.domain.scope import Lacking, Supply
from engine.errors import PlaylogError
from engine.write import load, payloads
from engine.write.cache import Cache, Remembered
from engine.write.horizon import PURGED, PURGED_DETAIL, purged_among
from engine.write.ids import IdBlock
from engine.write.keys import Pending, claim_keys
from engine.write.probe import Known, probe_foreign, probe_native
from engine.write.requests import UNKNOWN_EXECUTION, Committed, Outcome, Request
from engine.write.store import write
from engine.write.stream import Stream
from sql import queries

SQL = queries.load("append")

UNKNOWN = rejected(UNKNOWN_EXECUTION, "there is no such execution")

Heads = Mapping[int, asyncpg.Record]


@dataclass(slots=True)
class Context:
    """What one writer brings to its transactions: its part of the state cache and its block of ids.

    `committing` says how far the last append came: after a broken one, whether its COMMIT may have been sent.
    """

    cache: Cache = field(default_factory=Cache)
    ids: IdBlock = field(default_factory=IdBlock)
    committing: bool = False


class _NothingToCommit(Exception):  # noqa: N818  # named as the fact it reports
    """The group has changed nothing: its transaction ends without a COMMIT."""


async def append(
    connection: asyncpg.Connection, requests: Sequence[Request], context: Context
) -> tuple[list[Outcome], Committed]:
    """Append a group of requests in one transaction; the outcomes are committed when this returns.

    Requests for one execution are served in their order. Any exception leaves nothing behind, neither
    rows nor remembered states.
    """
    outcomes = [Outcome(request.execution_id) for request in requests]
    streams: list[Stream] = []
    committed = Committed()
    context.committing = False
    with contextlib.suppress(_NothingToCommit):
        async with connection.transaction():
            pending = await claim_keys(connection, list(zip(requests, outcomes, strict=True)))
            heads = await _lock_heads(connection, pending)
            pending = await _still_wanted(connection, pending)
            pending = await payloads.confirmed(connection, pending)
            known, left = await probe_foreign(connection, pending, heads)
            streams = await _streams(connection, left, heads, context)
            await _judge(connection, streams, heads, known, context)
            await write(connection, streams, committed)
            dropped = await _drop_deliveries(connection, pending)
            claimed = any(request.keys for request in requests)
            if not (dropped or claimed or any(stream.has_changed for stream in streams)):
                raise _NothingToCommit
            context.committing = True
    for stream in streams:
        remembered = Remembered(stream.state, stream.supply.values, stream.remembered.sizes)
        context.cache.keep(remembered, stream.sheet.sizes)
    return outcomes, committed


async def _lock_heads(connection: asyncpg.Connection, pending: Pending) -> Heads:
    wanted = {request.execution_id for request, _ in pending}
    rows = await connection.fetch(SQL.lock_heads, list(wanted))
    return {row["execution_id"]: row for row in rows}


async def _still_wanted(connection: asyncpg.Connection, pending: Pending) -> Pending:
    """Leave out the deliveries that somebody else has carried out, or that come twice in this group."""
    wanted = {request.delivery_id for request, _ in pending} - {None}
    if not wanted:
        return pending
    waiting = {row["delivery_id"] for row in await connection.fetch(SQL.lock_deliveries, list(wanted))}
    kept: Pending = []
    for request, outcome in pending:
        if request.delivery_id is None or request.delivery_id in waiting:
            waiting.discard(request.delivery_id)
            kept.append((request, outcome))
    return kept


async def _streams(
    connection: asyncpg.Connection, pending: Pending, heads: Heads, context: Context
) -> list[Stream]:
    """One stream an execution, brought up to its head; requests for unknown executions are refused."""
    gone = await purged_among(connection, _headless(pending, heads))
    grouped: dict[int, list[tuple[Request, Outcome]]] = defaultdict(list)
    for request, outcome in pending:
        if request.execution_id in heads or request.head is not None:
            grouped[request.execution_id].append((request, outcome))
        else:
            refusal = rejected(PURGED, PURGED_DETAIL) if request.execution_id in gone else UNKNOWN
            outcome.verdicts = [refusal for _ in request.events]
    wanted = [heads[execution_id] for execution_id in grouped if execution_id in heads]
    remembered = await load.states(connection, context.cache, wanted)
    return [
        _stream(execution_id, grouped[execution_id], remembered.get(execution_id))
        for execution_id in sorted(grouped)
    ]


def _headless(pending: Pending, heads: Heads) -> set[int]:
    return {request.execution_id for request, _ in pending if request.head is None} - heads.keys()


def _stream(execution_id: int, served: Pending, remembered: Remembered | None) -> Stream:
    head = None if remembered is not None else served[0][0].head
    if remembered is None:
        remembered = Remembered(initial(execution_id, None if head is None else head.definition_hash))
    return Stream(execution_id=execution_id, requests=served, remembered=remembered, head=head)


async def _judge(
    connection: asyncpg.Connection, streams: Sequence[Stream], heads: Heads, known: Known, context: Context
) -> None:
    """Give the streams what they need, and let them judge their events, record and decide."""
    moment, facts = await _look(connection, streams, heads)
    for stream in streams:
        state = stream.state
        now = moment if state.recorded_at is None else max(moment, state.recorded_at)
        stream.supply = Supply(now=now, values=stream.remembered.values)
        stream.facts = facts
        stream.known = known.get(stream.execution_id, {})
    native = [stream for stream in streams if not stream.state.is_foreign]
    if native:
        await _supply(connection, native, context)
        await probe_native(connection, native)
    await _decide(connection, streams, context)


async def _look(
    connection: asyncpg.Connection, streams: Iterable[Stream], heads: Heads
) -> tuple[datetime, dict[int, CommandFact]]:
    """The database's clock after the last lock, and the rows of the commands that events name."""
    wanted = {
        event.command_id
        for stream in streams
        for request, _ in stream.requests
        for event in request.events
        if event.command_id is not None
    }
    if heads and not wanted:
        return max(head["moment"] for head in heads.values()), {}
    rows = await connection.fetch(SQL.command_facts, list(wanted))
    facts = {row["command_id"]: _fact(row) for row in rows if row["command_id"] is not None}
    return rows[0]["moment"], facts


def _fact(row: asyncpg.Record) -> CommandFact:
    return CommandFact(
        execution_id=row["execution_id"],
        step=row["step"],
        attempt=row["attempt"],
        item=row["item"],
        lease_token=row["lease_token"],
        leased_until=row["leased_until"],
        deadline=row["deadline"],
        worker_id=row["worker_id"],
    )


async def _supply(connection: asyncpg.Connection, native: Iterable[Stream], context: Context) -> None:
    """Fresh ids and the definitions, for streams that decide."""
    ids = await context.ids.ensure(connection, 1)
    hashes = {stream.state.definition_hash for stream in native}
    wanted = [known for known in hashes if known is not None]
    definitions = await load.definitions(connection, context.cache, wanted)
    for stream in native:
        stream.supply.ids = ids
        if stream.state.definition_hash is not None:
            stream.use(definitions[stream.state.definition_hash])


async def _decide(connection: asyncpg.Connection, streams: Sequence[Stream], context: Context) -> None:
    """Run all streams, round by round: what several of them lack is loaded in one statement."""
    running = [(stream, stream.work()) for stream in streams]
    while running:
        lacking: dict[int, Lacking] = {}
        for stream, work in running:
            need = next(work, None)
            if need is not None:
                lacking[stream.execution_id] = need
        running = [(stream, work) for stream, work in running if stream.execution_id in lacking]
        if lacking:
            await asyncio.sleep(0)  # what lacks nothing only lets others have their turn
            await _load(connection, running, lacking, context)
    for stream in streams:
        for _, outcome in stream.requests:
            outcome.version = stream.state.version
            outcome.status = stream.state.status.value


async def _load(
    connection: asyncpg.Connection,
    running: Collection[tuple[Stream, object]],
    lacking: Mapping[int, Lacking],
    context: Context,
) -> None:
    found = await load.values(
        connection, {execution_id: need.versions for execution_id, need in lacking.items() if need.versions}
    )
    for stream, _ in running:
        need = lacking[stream.execution_id].versions
        values = found.get(stream.execution_id, {})
        if need - values.keys():
            raise PlaylogError("a value that deciding needs is not in the log", code="log_incomplete")
        stream.supply.values.update(values)
    await _load_payloads(connection, running, lacking)
    if any(need.ids for need in lacking.values()):
        await context.ids.ensure(connection, sum(need.ids for need in lacking.values()))


async def _load_payloads(
    connection: asyncpg.Connection, running: Collection[tuple[Stream, object]], lacking: Mapping[int, Lacking]
) -> None:
    wanted = frozenset[str]().union(*(need.payloads for need in lacking.values()))
    if not wanted:
        return
    fresh = {stream.execution_id: stream.progress.events for stream, _ in running}
    found = await payloads.contents(connection, wanted, fresh)
    for stream, _ in running:
        stream.supply.payloads |= {uri: found[uri] for uri in lacking[stream.execution_id].payloads}


async def _drop_deliveries(connection: asyncpg.Connection, pending: Pending) -> bool:
    """Drop what is carried out. A refused start is not: its parent must be told first."""
    done = [
        request.delivery_id
        for request, outcome in pending
        if request.delivery_id is not None
        and not outcome.is_unknown
        and not (request.head is not None and outcome.is_refused)
    ]
    if done:
        await connection.execute(SQL.drop_deliveries, done)
    return bool(done)
