"""How long an append waits while a partition is made or purged, with a reader open for two seconds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg

from bench.figures import show
from bench.installation import temporary_home
from engine.domain.events import NewEvent
from engine.domain.ids import first_id_at
from engine.domain.retention import Range
from engine.runtime.embedded import EmbeddedPostgres
from engine.write import holds
from engine.write.partitions import ensure_ahead, leaves, patiently
from engine.write.purge import Policy, purge
from engine.write.requests import Request
from engine.write.writer import Appender, appending
from sql.runner import migrate

READER_SECONDS = 2.0
HEAD_START_SECONDS = 0.1
STREAMS = 8
EVENTS = 5
DAYS = 30
GOAL_MS = 150.0
HEADS = """
insert into playlog.execution (execution_id, version, recorded_at, status, ended_at)
select id, $2, now(), 'completed', now() from generate_series($1::bigint, $1 + $3 - 1) as id
"""
LOG = """
insert into playlog.event
    (execution_id, version, event_id, event_type, status, content_hash, created_at, recorded_at)
select id, version, version, 'other.noted', 'RUNNING', $4, now(), now()
from generate_series($1::bigint, $1 + $3 - 1) as id, generate_series(1, $2::integer) as version
"""
STREAM_HEADS = """
insert into playlog.execution (execution_id, version, recorded_at, status)
select id, 0, now(), 'pending' from generate_series($1::bigint, $1 + $2 - 1) as id
"""
PLAIN_CREATE = "create table playlog.event_{n} partition of playlog.event for values from ({low}) to ({high})"
PLAIN_DROP = "drop table playlog.{name}"

Work = Callable[[asyncpg.Connection], Awaitable[None]]


@dataclass(slots=True)
class Bench:
    """A database under a steady stream of appends; `waits` are their begins and ends."""

    url: str
    admin: asyncpg.Connection
    appender: Appender
    month: datetime
    waits: list[tuple[float, float]] = field(default_factory=list)
    acknowledged: int = 0
    running: bool = True

    def next_month(self) -> datetime:
        """The first of a month that has no partition yet."""
        self.month = (self.month + timedelta(days=31)).replace(day=1)
        return self.month


async def run(*, quick: bool) -> None:
    """Print the longest wait of an append during each kind of change, ours and the plain statements."""
    rounds, rows = (2, 2_000) if quick else (5, 50_000)
    async with _database() as bench:
        stalls: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, change in await _changes(bench, rows):
                stalls.setdefault(name, []).append(await _longest_wait(bench, change))
        await _check_stream(bench)
        for ours, plain in (("create", "create.plain"), ("purge", "purge.plain")):
            show(f"partitions.{plain}", stalls[plain], "ms")
            show(f"partitions.{ours}", stalls[ours], "ms", ratio_to=_middle(stalls[plain]))
        show("partitions.steady", stalls["steady"], "ms", ratio_to=GOAL_MS)
        await _deletes(bench, rows)


async def _changes(bench: Bench, rows: int) -> list[tuple[str, Work]]:
    first, second = await _full_month(bench, rows), await _full_month(bench, rows)
    made, plain = bench.next_month(), bench.next_month()
    # The purges are to find one partition each; time goes on by months here.
    await holds.place(
        bench.admin, f"{made}", Range(first_id_at(made), first_id_at(_end(plain))), "not old", actor="bench"
    )

    async def create(connection: asyncpg.Connection) -> None:
        async for attempt in patiently(20):
            with attempt:
                await ensure_ahead(connection, 0, moment=made)
        await _expect(connection, f"event_{made:%Y%m}", there=True)

    async def plain_create(connection: asyncpg.Connection) -> None:
        low, high = first_id_at(plain), first_id_at(_end(plain))
        await connection.execute(PLAIN_CREATE.format(n=f"{plain:%Y%m}", low=low, high=high))
        await _expect(connection, f"event_{plain:%Y%m}", there=True)

    async def purge_one(connection: asyncpg.Connection) -> None:
        moment = _end(first) + timedelta(days=DAYS + 1)
        done = await purge(connection, Policy(event_retention_days=DAYS), moment=moment)
        if done.executions_purged != rows:
            raise AssertionError(f"{done.executions_purged} of {rows} executions went: {done.held}")
        await _expect(connection, f"event_{first:%Y%m}", there=False)

    async def plain_drop(connection: asyncpg.Connection) -> None:
        await connection.execute(PLAIN_DROP.format(name=f"event_{second:%Y%m}"))
        await _expect(connection, f"event_{second:%Y%m}", there=False)

    async def steady(_: asyncpg.Connection) -> None:
        await asyncio.sleep(READER_SECONDS)

    return [
        ("steady", steady),
        ("create", create),
        ("create.plain", plain_create),
        ("purge", purge_one),
        ("purge.plain", plain_drop),
    ]


async def _longest_wait(bench: Bench, change: Work) -> float:
    """Milliseconds of the longest append that was under way during a change."""
    connection = await asyncpg.connect(bench.url, timeout=10, command_timeout=60)
    reader = asyncio.create_task(_read(bench.url))
    try:
        await asyncio.sleep(HEAD_START_SECONDS)
        began = time.perf_counter()
        await change(connection)
        ended = time.perf_counter()
        await reader
        await asyncio.sleep(HEAD_START_SECONDS)
    finally:
        await connection.close()
    touched = [(start, end) for start, end in bench.waits if end >= began and start <= ended]
    if len(touched) < STREAMS:
        raise AssertionError(f"only {len(touched)} appends were under way")
    bench.waits.clear()
    return max(end - start for start, end in touched) * 1000


async def _read(url: str) -> None:
    """A transaction that has read every partition and stays open."""
    connection = await asyncpg.connect(url, timeout=10, command_timeout=60)
    try:
        async with connection.transaction():
            await connection.fetchval("select count(*) from playlog.event where version = 1")
            await asyncio.sleep(READER_SECONDS)
    finally:
        await connection.close()


async def _stream(bench: Bench, execution_id: int) -> None:
    number = 0
    while bench.running:
        number += 1
        event = NewEvent(event_type="other.noted", status="RUNNING", payload={"n": number}, event_id=number)
        began = time.perf_counter()
        await bench.appender.submit(Request(execution_id=execution_id, events=(event,)))
        bench.waits.append((began, time.perf_counter()))
        bench.acknowledged += 1


async def _full_month(bench: Bench, rows: int) -> datetime:
    month = bench.next_month()
    await ensure_ahead(bench.admin, 0, moment=month)
    low = first_id_at(month)
    await bench.admin.execute(HEADS, low, EVENTS, rows)
    await bench.admin.execute(LOG, low, EVENTS, rows, bytes(16))
    return month


async def _deletes(bench: Bench, rows: int) -> None:
    """What the heads of a month cost, that are deleted by batches instead of living in partitions."""
    month = await _full_month(bench, rows)
    began = time.perf_counter()
    moment = _end(month) + timedelta(days=DAYS + 1)
    done = await purge(bench.admin, Policy(event_retention_days=DAYS), moment=moment)
    seconds = time.perf_counter() - began
    if done.executions_purged != rows:
        raise AssertionError(f"{done.executions_purged} of {rows} executions went")
    show("partitions.purged_heads", [rows / seconds], "executions/s")


async def _check_stream(bench: Bench) -> None:
    bench.running = False
    await asyncio.sleep(READER_SECONDS)
    stored = await bench.admin.fetchval(
        "select count(*) from playlog.event where event_type = 'other.noted' and payload is not null"
    )
    if stored != bench.acknowledged:
        raise AssertionError(f"{stored} of {bench.acknowledged} acknowledged events are there")


async def _expect(connection: asyncpg.Connection, name: str, *, there: bool) -> None:
    names = {leaf.name for some in (await leaves(connection)).values() for leaf in some}
    if (name in names) is not there:
        raise AssertionError(f"{name} is {'missing' if there else 'there'}")


@contextlib.asynccontextmanager
async def _database() -> AsyncIterator[Bench]:
    with temporary_home() as home:
        server = EmbeddedPostgres(home)
        await server.start()
        try:
            async with _streaming(server.url) as bench:
                yield bench
        finally:
            await server.stop()


@contextlib.asynccontextmanager
async def _streaming(url: str) -> AsyncIterator[Bench]:
    await migrate(url)
    admin = await asyncpg.connect(url, timeout=10, command_timeout=300)

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url, timeout=10, command_timeout=60)

    now = datetime.now(UTC)
    first = first_id_at(now)
    await admin.execute(STREAM_HEADS, first, STREAMS)
    ahead = datetime(now.year, now.month, 1, tzinfo=UTC) + timedelta(days=63)
    async with appending(connect, lambda _: None, 2) as appender, asyncio.TaskGroup() as tasks:
        bench = Bench(url, admin, appender, ahead.replace(day=1))
        for number in range(STREAMS):
            tasks.create_task(_stream(bench, first + number))
        try:
            yield bench
        finally:
            bench.running = False
    await admin.close()


def _end(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
