"""The rows of an append: what its streams recorded and decided, written in one statement a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

import asyncpg
import orjson

from engine.domain.effects import CloseCommand, Deliver, DropTimer, IssueCommand, SetTimer
from engine.domain.ids import shard_of
from engine.domain.messages import Draft
from engine.domain.subjects import event_subject
from engine.write.requests import Committed, Delivery
from engine.write.sheet import EVENT_COLUMNS
from engine.write.stream import Stream
from sql import queries

SQL = queries.load("append")

COPY_FROM = 10
"""COPY takes less time than `unnest` from so many rows on: half of it at 50, as long at 5."""


def columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Rows as the parallel arrays that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]


async def write(connection: asyncpg.Connection, streams: Sequence[Stream], committed: Committed) -> None:
    """Write everything that the streams add, in the lock order; `committed` takes what to announce."""
    changed = [stream for stream in streams if stream.sheet.rows]
    if changed:
        await _write_events(connection, changed)
        await _write_heads(connection, changed, committed)
    await _write_effects(connection, streams, committed)
    if changed:
        await _write_outbox(connection, changed, committed)


async def _write_events(connection: asyncpg.Connection, streams: Iterable[Stream]) -> None:
    rows = [row for stream in streams for row in stream.sheet.rows]
    if len(rows) < COPY_FROM:
        await connection.execute(SQL.insert_events, *columns(rows))
    else:
        await connection.copy_records_to_table(
            "event", schema_name="playlog", columns=EVENT_COLUMNS, records=rows
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
    connection: asyncpg.Connection, streams: Iterable[Stream], committed: Committed
) -> None:
    rows = [_outbox_row(stream, draft) for stream in streams for draft in stream.sheet.drafts]
    committed.shards.update(shard_of(stream.execution_id) for stream in streams)
    await connection.execute(SQL.insert_outbox, *columns(rows))


def _outbox_row(stream: Stream, draft: Draft) -> tuple[object, ...]:
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
