"""The rows of an append: what its streams recorded and decided, in as few statements as their locks allow.

New heads first, then permits where playbooks have concurrency keys, then one statement for events, locked
heads, commands and messages, then timers, deliveries and incidents. Within that statement only commands can
be waited for: the heads are locked already, and nobody sees the inserted rows before the COMMIT. So the order
of locks is that of the statements. An append that pauses or resumes closes commands, and gives them permits,
with those it holds or releases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import asyncpg
import orjson

from engine.domain.effects import CloseCommand, Deliver, DropTimer, IssueCommand, SetTimer
from engine.domain.ids import shard_of
from engine.domain.messages import Draft
from engine.domain.subjects import event_subject
from engine.write.permits import Shared, share_permits
from engine.write.requests import Committed, Delivery
from engine.write.seldom import Seldom, hold_commands, move_deadlines, open_incidents
from engine.write.sheet import EVENT_COLUMNS
from engine.write.stream import Stream
from sql import queries

SQL = queries.load("append")

COPY_FROM = 10
"""COPY takes less time than `unnest` from so many events on: half of it at 50, as long at 5."""

HEAD_FIELDS = attrgetter(
    "definition_hash", "path", "playbook_version", "parent_id", "pool", "priority", "deadline"
)

Row = tuple[object, ...]


def columns(rows: Sequence[Sequence[object]], width: int = 0) -> list[list[object]]:
    """Rows as the parallel arrays that `unnest` takes; `width` empty ones for no rows."""
    if not rows:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]


@dataclass(slots=True)
class _Effects:
    """What the streams decided besides events, by kind; a timer that is dropped maps to None.

    Commands that are closed as soon as they are issued are left out. Those `held` wait for permits; those
    `granted` are others', in line until now.
    """

    issued: list[IssueCommand] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)
    timers: dict[tuple[int, str], SetTimer | None] = field(default_factory=dict)
    deliveries: list[Deliver] = field(default_factory=list)
    seldom: Seldom = field(default_factory=Seldom)
    held: set[int] = field(default_factory=set)
    granted: set[int] = field(default_factory=set)


async def write(connection: asyncpg.Connection, streams: Sequence[Stream], committed: Committed) -> None:
    """Write everything that the streams add, in the lock order; `committed` takes what to announce."""
    changed = [stream for stream in streams if stream.sheet.rows]
    effects = _effects(streams)
    _announce(changed, committed)
    await _write_new_heads(connection, changed)
    await move_deadlines(connection, effects.seldom)
    if any(_may_be_keyed(stream) for stream in streams):
        paused = effects.seldom.paused
        _apply(await share_permits(connection, effects.issued, effects.closed, paused), effects, committed)
    _announce_pools(effects, committed)
    await _record(connection, changed, effects, committed)
    await _write_timers(connection, effects.timers)
    await _write_deliveries(connection, effects.deliveries, committed)
    await open_incidents(connection, effects.seldom)


def _may_be_keyed(stream: Stream) -> bool:
    """Whether commands of it can have keys: those of a definition that cannot be compiled may."""
    return stream.fault is not None or (stream.definition is not None and stream.definition.keyed)


def _effects(streams: Iterable[Stream]) -> _Effects:
    found = _Effects()
    for stream in streams:
        for effect in stream.progress.effects:
            match effect:
                case IssueCommand():
                    found.issued.append(effect)
                case CloseCommand(command_id):
                    found.closed.add(command_id)
                case SetTimer(execution_id, key):
                    found.timers[execution_id, key] = effect
                case DropTimer(execution_id, key):
                    found.timers[execution_id, key] = None
                case Deliver():
                    found.deliveries.append(effect)
                case _:
                    found.seldom.take(effect)
    stillborn = found.closed & {command.command_id for command in found.issued}
    found.issued = [command for command in found.issued if command.command_id not in stillborn]
    found.closed -= stillborn
    return found


def _apply(shared: Shared, effects: _Effects, committed: Committed) -> None:
    effects.issued = [command for command in effects.issued if command.command_id not in shared.refused]
    effects.held = shared.held
    effects.closed |= shared.closed
    effects.deliveries += shared.deliveries
    effects.granted = set(shared.granted)
    for pool in shared.granted.values():
        committed.pools[pool] = committed.pools.get(pool, 0) + 1


def _announce(changed: Iterable[Stream], committed: Committed) -> None:
    for stream in changed:
        state = stream.state
        committed.versions[state.execution_id] = state.version
        committed.shards.add(shard_of(state.execution_id))
        if state.is_ended and state.ended_at == stream.supply.now:
            committed.ended.append(state.execution_id)


async def _write_new_heads(connection: asyncpg.Connection, changed: Iterable[Stream]) -> None:
    rows = [
        (*_head_row(stream)[:-1], *HEAD_FIELDS(stream.head), stream.state.ended_at)
        for stream in changed
        if stream.head is not None
    ]
    if rows:
        await connection.execute(SQL.insert_heads, *columns(rows))


async def _record(
    connection: asyncpg.Connection, changed: Sequence[Stream], effects: _Effects, committed: Committed
) -> None:
    events = [row for stream in changed for row in stream.sheet.rows]
    if len(events) >= COPY_FROM:
        await connection.copy_records_to_table(
            "event", schema_name="playlog", columns=EVENT_COLUMNS, records=events
        )
        events = []
    heads = [_head_row(stream) for stream in changed if stream.head is None]
    closed, granted = sorted(effects.closed), sorted(effects.granted)
    issued = [_command_row(command, effects.held) for command in effects.issued]
    messages = [_message_row(stream, draft) for stream in changed for draft in stream.sheet.drafts]
    if events or heads or closed or issued or messages or granted:
        await connection.execute(
            SQL.record,
            *columns(events, len(EVENT_COLUMNS)),
            *columns(heads, 6),
            [] if effects.seldom.paused else closed,
            *columns(issued, 20),
            *columns(messages, 8),
            [] if effects.seldom.paused else granted,
        )
    if effects.seldom.paused:
        await hold_commands(connection, effects.seldom, closed, granted, committed)


def _head_row(stream: Stream) -> Row:
    state = stream.state
    return (
        state.execution_id,
        state.version,
        state.last_event_id,
        state.recorded_at,
        state.status.value,
        state.ended_at,
    )


def _announce_pools(effects: _Effects, committed: Committed) -> None:
    for command in effects.issued:
        if not (command.held or command.command_id in effects.held):
            committed.pools[command.pool] = committed.pools.get(command.pool, 0) + 1


def _command_row(command: IssueCommand, held: set[int]) -> Row:
    permit, is_held = command.permit, command.held or command.command_id in held
    return (
        command.command_id,
        command.execution_id,
        command.step,
        command.item,
        command.attempt,
        command.tool,
        command.pool,
        command.priority,
        command.input.decode(),
        command.timeout,
        command.available_at,
        command.traceparent,
        None if command.handles is None else command.handles.decode(),
        command.held,
        "held" if is_held else "pending",
        None if command.deferred is None else command.deferred.decode(),
        None if permit is None else permit.key,
        None if permit is None else permit.limit,
        permit is not None and not is_held,
        command.idempotency_key,
    )


def _message_row(stream: Stream, draft: Draft) -> Row:
    state, span, newest = stream.state, draft.span, draft.events[-1]
    return (
        shard_of(state.execution_id),
        span.execution_id,
        span.first_version,
        span.last_version,
        newest.event_id,
        event_subject(state.execution_id),
        draft.body(state.definition_hash, state.path).decode(),
        newest.traceparent,
    )


async def _write_timers(
    connection: asyncpg.Connection, timers: dict[tuple[int, str], SetTimer | None]
) -> None:
    wanted = [(*key, timer.due_at) for key, timer in timers.items() if timer is not None]
    dropped = [key for key, timer in timers.items() if timer is None]
    if wanted:
        await connection.execute(SQL.set_timers, *columns(wanted))
    if dropped:
        await connection.execute(SQL.drop_timers, *columns(dropped))


async def _write_deliveries(
    connection: asyncpg.Connection, deliveries: Iterable[Deliver], committed: Committed
) -> None:
    rows = [(d.target, d.kind, d.event_id, orjson.dumps(d.payload).decode()) for d in deliveries]
    if not rows:
        return
    for row in await connection.fetch(SQL.insert_deliveries, *columns(rows)):
        committed.deliveries.append(
            Delivery(
                delivery_id=row["delivery_id"],
                target=row["target_execution_id"],
                kind=row["kind"],
                event_id=row["event_id"],
                payload=orjson.loads(row["payload"]),
            )
        )
