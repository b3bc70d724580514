"""The outbox drained to JetStream, against a bare loop that publishes the same bytes in atomic batches."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import asyncpg
import orjson

from bench.figures import show
from bench.installation import temporary_home
from engine.domain.events import NewEvent
from engine.domain.messages import Span, header_lines
from engine.runtime import logs
from engine.runtime.atomic_batch import MOST_BYTES, MOST_MESSAGES, OutgoingMessage
from engine.runtime.broker import Broker
from engine.runtime.consumer import PullConsumer
from engine.runtime.embedded import embedded
from engine.runtime.settings import PublisherProcess
from engine.runtime.stream import EventStream
from engine.write import publishing, shards
from engine.write.append import Context, append
from engine.write.requests import Request
from publisher.process import Publishers, publishers
from publisher.role import Publisher
from sql.runner import migrate

KINDS = {"ten_events": 10, "one_event": 1}
EXECUTIONS = 1_000
FIRST_ID = 1_000_001
GROUP = 250
PAYLOAD = {"note": "x" * 120, "customer": "c-1042", "amount": 1250}
PATIENCE_SECONDS = 300.0
HEADS = """
insert into playlog.execution (execution_id, version, recorded_at, status)
select id, 0, clock_timestamp(), 'running' from unnest($1::bigint[]) as id
"""
NOTHING_KNOWN = """
update playlog.shard set stream_created = null, last_seq = 0, safe_seq = 0, safe_at = null, server = null
"""
EMPTY = "select not exists (select from playlog.outbox)"
REFILLED = "select min(generation) > {} and count(refill_after) = 0 from playlog.shard"
MANY = """
insert into playlog.outbox (shard, execution_id, first_version, last_version, event_id, subject, payload)
select n & 15, n, 1, 1, n, 'playlog.events.' || (n & 15) || '.' || n, repeat('x', 400)
from generate_series(1, $1::bigint) as n
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A database without anything in it, and a broker, with the settings of a publisher of both."""

    settings: PublisherProcess
    database: asyncpg.Connection
    broker: Broker
    stream: EventStream

    async def forget_stream(self) -> None:
        """Begin with an empty stream that nothing was ever published to."""
        await self.stream.ensure()
        await self.stream.api(f"STREAM.DELETE.{self.stream.name}")
        await self.stream.ensure()
        await self.stream.state()
        await self.database.execute(NOTHING_KNOWN)


async def run(*, quick: bool) -> None:
    """Print events a second of the publisher and of the bare loop, and the cost of a claim."""
    events, rounds = (20_000, 3) if quick else (100_000, 5)
    logs.configure("bench", level="critical")
    async with _servers() as bench:
        for kind, size in KINDS.items():
            await _append(bench.database, events, size)
            await _drains(bench, kind, events, rounds)
        await _refills(bench, len(KINDS) * events, rounds)
        await _claims(bench, 100_000 if quick else 1_000_000)


@contextlib.asynccontextmanager
async def _servers() -> AsyncIterator[Bench]:
    with temporary_home() as home:
        async with embedded(home, database_url=None, nats_url=None) as servers:
            await migrate(servers.database_url)
            settings = PublisherProcess(database_url=servers.database_url, nats_url=servers.nats_url)
            broker = Broker(settings, name="bench")
            await broker.connect()
            database = await asyncpg.connect(servers.database_url, timeout=10, command_timeout=300)
            try:
                yield Bench(settings, database, broker, EventStream(broker, settings))
            finally:
                await database.close()
                await broker.close()


async def _append(connection: asyncpg.Connection, events: int, size: int) -> None:
    """Append so many events for as many executions as there are, `size` at a time, and keep the messages."""
    newest = await connection.fetchval(
        "select coalesce(max(execution_id), $1) from playlog.execution", FIRST_ID
    )
    ids = [newest + number for number in range(1, EXECUTIONS + 1)]
    await connection.execute("truncate playlog.outbox")
    await connection.execute(HEADS, ids)
    context = Context()
    for first in range(0, events // size, GROUP):
        chosen = [ids[(first + number) % EXECUTIONS] for number in range(GROUP)]
        requests = [Request(execution_id=chosen_id, events=_events(first, size)) for chosen_id in chosen]
        await append(connection, requests, context)
    await connection.execute("drop table if exists waiting")
    await connection.execute("create temporary table waiting as table playlog.outbox")


def _events(first: int, size: int) -> tuple[NewEvent, ...]:
    return tuple(
        NewEvent(
            event_type="order.noted",
            status="RUNNING",
            event_id=first * 100 + number + 1,
            step="note",
            payload=PAYLOAD,
        )
        for number in range(size)
    )


async def _drains(bench: Bench, kind: str, events: int, rounds: int) -> None:
    bare, drained, cpu = [], [], []
    for _ in range(rounds):
        bare.append(events / await _bare(bench, events))
        seconds, cpu_seconds = await _drain(bench, events)
        drained.append(events / seconds)
        cpu.append(cpu_seconds / events * 1e6)
    show(f"drain.{kind}.bare", bare, "events/s")
    show(f"drain.{kind}", drained, "events/s", ratio_to=statistics.median(bare))
    show(
        f"drain.{kind}.paired", [ours / theirs for ours, theirs in zip(drained, bare, strict=True)], "of bare"
    )
    show(f"drain.{kind}.cpu", cpu, "us/event")


async def _bare(bench: Bench, events: int) -> float:
    """Seconds that publishing takes when all messages are at hand and nothing has to be deleted."""
    await bench.forget_stream()
    rows = await bench.database.fetch("select * from waiting order by outbox_id")
    batches = list(_batches([_message(row) for row in rows]))
    began = time.perf_counter()
    for batch in batches:
        await bench.stream.publish_atomic(batch)
    seconds = time.perf_counter() - began
    await _check(bench, events)
    return seconds


def _message(row: asyncpg.Record) -> OutgoingMessage:
    span = Span(row["execution_id"], row["first_version"], row["last_version"])
    return OutgoingMessage(
        subject=row["subject"],
        payload=row["payload"].encode(),
        header_lines=header_lines(span, 1, row["created_at"], row["traceparent"]),
    )


def _batches(messages: Iterable[OutgoingMessage]) -> Iterable[list[OutgoingMessage]]:
    batch: list[OutgoingMessage] = []
    size = 0
    for message in messages:
        needed = len(message.payload) + 1024
        if batch and (len(batch) == MOST_MESSAGES or size + needed > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += needed
    yield batch


async def _drain(bench: Bench, events: int) -> tuple[float, float]:
    """Seconds until the outbox is empty, from when the connected publishers begin to look; CPU seconds."""
    await bench.forget_stream()
    await bench.database.execute("truncate playlog.outbox")
    async with publishers(bench.settings, bench.broker, bench.stream) as roles:
        for role in roles.roles:
            await role.step()
        await bench.database.execute(
            "insert into playlog.outbox overriding system value table waiting order by outbox_id"
        )
        await bench.database.execute("analyze playlog.outbox")
        roles.wake.set()
        began, cpu_began = time.perf_counter(), time.process_time()
        await _run_until(roles, bench.database, EMPTY)
        taken = time.perf_counter() - began, time.process_time() - cpu_began
    await _check(bench, events)
    return taken


async def _run_until(roles: Publishers, database: asyncpg.Connection, done: str) -> None:
    """Let both pass after pass; the database is asked only when both want to rest, not to disturb them."""
    began = time.perf_counter()
    await asyncio.gather(*(_work(role, roles.wakes[role.name]) for role in roles.roles))
    while not await database.fetchval(done):
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise TimeoutError("the publishers do not get done")
        await asyncio.gather(*(_work(role, roles.wakes[role.name]) for role in roles.roles))


async def _work(role: Publisher, wake: asyncio.Event) -> None:
    await wake.wait()
    while await role.step() == 0:
        pass


async def _refills(bench: Bench, events: int, rounds: int) -> None:
    """Events a second from the deletion of the stream until it holds the whole log again."""
    rates = []
    for _ in range(rounds):
        await bench.stream.api(f"STREAM.DELETE.{bench.stream.name}")
        began = time.perf_counter()
        before = await bench.database.fetchval("select max(generation) from playlog.shard")
        async with publishers(bench.settings, bench.broker, bench.stream) as roles:
            for wake in roles.wakes.values():
                wake.set()
            await _run_until(roles, bench.database, REFILLED.format(before))
        rates.append(events / (time.perf_counter() - began))
        await _check(bench, events)
    show(f"refill.{events}", rates, "events/s")


async def _check(bench: Bench, events: int) -> None:
    """The stream holds every version of every execution once and in order."""
    reached: dict[int, int] = {}
    consumer = PullConsumer(bench.broker, bench.stream, "bench")
    found = 0
    while found < events:
        messages = await consumer.fetch(1_000, 5)
        if not messages:
            raise AssertionError(f"the stream holds {found} events instead of {events}")
        consumer.acknowledge(messages)
        for message in messages:
            body = orjson.loads(message.data)
            for event in body["events"]:
                execution_id, version = int(body["execution_id"]), event["version"]
                if version != reached.get(execution_id, 0) + 1:
                    raise AssertionError(f"{execution_id}: {version} after {reached.get(execution_id)}")
                reached[execution_id] = version
                found += 1
    await consumer.close()
    state = await bench.stream.state()
    if found != events or state.last_seq != state.messages:
        raise AssertionError(f"{found} events of {events}")


async def _claims(bench: Bench, most: int) -> None:
    few = await _claim_cost(bench, 10_000)
    many = await _claim_cost(bench, most)
    show("claim.10000", few, "ms")
    show(f"claim.{most}", many, "ms", ratio_to=statistics.median(few))


async def _claim_cost(bench: Bench, waiting: int, rounds: int = 30) -> list[float]:
    """Milliseconds of a pass's reading while so many messages wait."""
    await bench.database.execute("truncate playlog.outbox")
    await bench.database.execute(MANY, waiting)
    await bench.database.execute("analyze playlog.outbox")
    taken = []
    for _ in range(rounds):
        transaction = bench.database.transaction()
        await transaction.start()
        began = time.perf_counter()
        await shards.begin_pass(bench.database)
        owned = [shard.shard for shard in await shards.lock(bench.database, bench.settings.publisher_shards)]
        found = await publishing.due(bench.database, owned, MOST_MESSAGES, MOST_BYTES)
        taken.append((time.perf_counter() - began) * 1000)
        await transaction.rollback()
        if len(found) != MOST_MESSAGES:
            raise AssertionError(f"{len(found)} of {waiting} messages were read")
    return taken
