"""The rows of an append: what its streams recorded and decided, written in one statement a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

import asyncpg
import orjson

from engine.domain.effects import CloseCommand, Deliver, DropTimer, IssueCommand, SetTimer
from engine.domain.events import RecordedEvent
from engine.domain.ids import shard_of
from engine.domain.messages import Draft, encode
from engine.domain.subjects import event_subject
from engine.write.requests import Committed, Delivery
from engine.write.stream import Stream
from sql import queries

SQL = queries.load("append")

EventRow = tuple[object, ...]


def columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Rows as the parallel arrays that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]


async def write(connection: asyncpg.Connection, streams: Sequence[Stream]) -> Committed:
    """Write everything that the streams add, left to right in the lock order; return what to announce."""
    committed = Committed()
    changed = [stream for stream in streams if stream.progress.events]
    encoded = {stream.execution_id: _encode(stream) for stream in changed}
    if changed:
        await _write_events(connection, changed, encoded)
        await _write_heads(connection, changed, committed)
    await _write_effects(connection, streams, committed)
    if changed:
        await _write_outbox(connection, changed, encoded, committed)
    return committed


def _encode(stream: Stream) -> list[bytes]:
    payloads = [orjson.dumps(event.payload) for event in stream.progress.events]
    for event, payload in zip(stream.progress.events, payloads, strict=True):
        stream.sizes[event.version] = len(payload)
    return payloads


async def _write_events(
    connection: asyncpg.Connection, streams: Iterable[Stream], encoded: dict[int, list[bytes]]
) -> None:
    rows = [
        _event_row(event, payload, hashed)
        for stream in streams
        for event, payload, hashed in zip(
            stream.progress.events, encoded[stream.execution_id], stream.hashes, strict=True
        )
    ]
    await connection.execute(SQL.insert_events, *columns(rows))


def _event_row(event: RecordedEvent, payload: bytes, hashed: bytes) -> EventRow:
    return (
        event.execution_id,
        event.version,
        event.event_id,
        event.event_type,
        event.step,
        event.attempt,
        event.item,
        event.status,
        None if event.payload is None else payload.decode(),
        None if event.meta is None else orjson.dumps(event.meta).decode(),
        hashed,
        event.command_id,
        event.causation_id,
        event.traceparent,
        event.created_at,
        event.recorded_at,
    )


async def _write_heads(
    connection: asyncpg.Connection, streams: Sequence[Stream], committed: Committed
) -> None:
    started, grown = [], []
    for stream in streams:
        state, head = stream.state, stream.head
        committed.versions[state.execution_id] = state.version
        if state.is_ended and state.ended_at == stream.supply.now:
            committed.ended.append(state.execution_id)
        row = (state.execution_id, state.version, state.last_event_id, state.recorded_at, state.status.value)
        if head is None:
            grown.append((*row, state.ended_at))
        else:
            about = attrgetter(
                "definition_hash", "path", "playbook_version", "parent_id", "pool", "priority", "deadline"
            )
            started.append((*row, *about(head), state.ended_at))
    if started:
        await connection.execute(SQL.insert_heads, *columns(started))
    if grown:
        await connection.execute(SQL.update_heads, *columns(grown))


async def _write_outbox(
    connection: asyncpg.Connection,
    streams: Iterable[Stream],
    encoded: dict[int, list[bytes]],
    committed: Committed,
) -> None:
    rows = [row for stream in streams for row in _outbox_rows(stream, encoded[stream.execution_id])]
    committed.shards.update(shard_of(stream.execution_id) for stream in streams)
    await connection.execute(SQL.insert_outbox, *columns(rows))


def _outbox_rows(stream: Stream, payloads: list[bytes]) -> Iterable[EventRow]:
    state = stream.state
    shard, subject = shard_of(state.execution_id), event_subject(state.execution_id)
    for draft in drafts(stream.progress.events, payloads):
        span, newest = draft.span, draft.events[-1]
        yield (
            shard,
            span.execution_id,
            span.first_version,
            span.last_version,
            newest.event_id,
            subject,
            draft.body(state.definition_hash, state.path).decode(),
            newest.traceparent,
        )


def drafts(events: Iterable[RecordedEvent], payloads: Iterable[bytes]) -> Iterable[Draft]:
    """New events of an execution as messages of at most 512 KiB, or one event where that is larger."""
    draft = Draft()
    for event, payload in zip(events, payloads, strict=True):
        encoded = encode(event, payload)
        if not draft.takes(encoded):
            yield draft
            draft = Draft()
        draft.add(event, encoded)
    if draft.events:
        yield draft


async def _write_effects(
    connection: asyncpg.Connection, streams: Iterable[Stream], committed: Committed
) -> None:
    issued: list[IssueCommand] = []
    closed: set[int] = set()
    timers: dict[tuple[int, str], SetTimer | None] = {}
    deliveries: list[Deliver] = []
    for stream in streams:
        for effect in stream.progress.effects:
            match effect:
                case IssueCommand():
                    issued.append(effect)
                case CloseCommand(command_id):
                    closed.add(command_id)
                case SetTimer(execution_id, key):
                    timers[execution_id, key] = effect
                case DropTimer(execution_id, key):
                    timers[execution_id, key] = None
                case Deliver():
                    deliveries.append(effect)
    await _write_commands(connection, issued, closed, committed)
    await _write_timers(connection, timers)
    await _write_deliveries(connection, deliveries, committed)


async def _write_commands(
    connection: asyncpg.Connection, issued: Iterable[IssueCommand], closed: set[int], committed: Committed
) -> None:
    wanted = [command for command in issued if command.command_id not in closed]
    stored = sorted(closed - {command.command_id for command in issued})
    if stored:
        await connection.execute(SQL.close_commands, stored)
    if not wanted:
        return
    for command in wanted:
        committed.pools[command.pool] = committed.pools.get(command.pool, 0) + 1
    await connection.execute(SQL.insert_commands, *columns([_command_row(command) for command in wanted]))


def _command_row(command: IssueCommand) -> tuple[object, ...]:
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
