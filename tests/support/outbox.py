"""Outbox rows and events as an append writes them, and the stream that they are published to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import nats
import orjson
from nats.js.api import ConsumerConfig, DeliverPolicy

from engine.domain.events import NewEvent
from engine.domain.ids import shard_of
from engine.domain.messages import Span, body
from engine.domain.subjects import event_subject
from engine.runtime.broker import Broker
from engine.runtime.settings import PublisherProcess
from engine.runtime.stream import EventStream
from engine.write.append import Context, append
from engine.write.requests import Request
from publisher.role import Publisher
from tests.support.servers import Connection, connected

INSERT = """
insert into playlog.outbox (shard, execution_id, first_version, last_version, event_id, subject, payload)
select * from unnest($1::smallint[], $2::bigint[], $3::integer[], $4::integer[], $5::bigint[], $6::text[],
    $7::text[])
returning outbox_id
"""
HEADS = """
insert into playlog.execution (execution_id, version, recorded_at, status)
select id, 0, clock_timestamp(), 'running' from unnest($1::bigint[]) as id
on conflict do nothing
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in the stream."""

    execution_id: int
    first_version: int
    last_version: int
    message_id: str
    headers: dict[str, str]
    data: bytes


async def put(connection: Connection, *spans: tuple[int, int, int], padding: int = 0) -> list[int]:
    """Outbox rows of (execution, first version, last version), without events in the log."""
    rows = [
        (
            shard_of(execution_id),
            execution_id,
            first,
            last,
            execution_id * 1000 + last,
            event_subject(execution_id),
            body(Span(execution_id, first, last), None, "x" * padding or None, ()).decode(),
        )
        for execution_id, first, last in spans
    ]
    found = await connection.fetch(INSERT, *[list(column) for column in zip(*rows, strict=True)])
    return [row["outbox_id"] for row in found]


async def record(connection: Connection, execution_ids: Iterable[int], events: int, tag: str = "a") -> None:
    """One append of so many events for each foreign execution, outbox included."""
    ids = list(execution_ids)
    await connection.execute(HEADS, ids)
    requests = [
        Request(
            execution_id=execution_id,
            events=tuple(
                NewEvent(
                    event_type="order.noted",
                    status="RUNNING",
                    event_id=hash((execution_id, tag, number)) & (2**62 - 1),
                    step="note",
                    payload={"number": number, "tag": tag},
                )
                for number in range(events)
            ),
        )
        for execution_id in ids
    ]
    await append(connection, requests, Context())


async def waiting(connection: Connection) -> int:
    return int(await connection.fetchval("select count(*) from playlog.outbox"))


async def stream_content(nats_url: str, stream: str = "PLAYLOG_EVENTS") -> list[Stored]:
    """Every message of the stream in order."""
    client = await nats.connect(nats_url, connect_timeout=5, allow_reconnect=False)
    try:
        jetstream = client.jetstream()
        total = (await jetstream.stream_info(stream)).state.messages
        if not total:
            return []
        found: list[Stored] = []
        pull = await jetstream.pull_subscribe(
            "playlog.events.>",
            stream=stream,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, mem_storage=True),
        )
        while len(found) < total:
            for message in await pull.fetch(min(500, total - len(found)), timeout=5):
                document = orjson.loads(message.data)
                headers = dict(message.headers or {})
                found.append(
                    Stored(
                        int(document["execution_id"]),
                        document["first_version"],
                        document["last_version"],
                        headers["Nats-Msg-Id"],
                        headers,
                        message.data,
                    )
                )
                await message.ack()
        return found
    finally:
        await client.close()


def gaps(stored: Iterable[Stored], expected: dict[int, int]) -> list[str]:
    """What is missing or out of order when the stream is read and deduplicated by (execution, version)."""
    reached: dict[int, int] = {}
    faults = []
    for message in stored:
        known = reached.get(message.execution_id, 0)
        if message.first_version > known + 1:
            faults.append(f"{message.execution_id}: {known} then {message.first_version}")
        reached[message.execution_id] = max(known, message.last_version)
    faults += [
        f"{execution_id}: ends at {reached.get(execution_id, 0)}, not {version}"
        for execution_id, version in expected.items()
        if reached.get(execution_id, 0) != version
    ]
    return faults


def publisher_settings(database_url: str, nats_url: str, **more: object) -> PublisherProcess:
    return PublisherProcess(database_url=database_url, nats_url=nats_url, **more)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def a_publisher(settings: PublisherProcess, *, wait_seconds: float = 5.0) -> AsyncIterator[Publisher]:
    """A publisher that is stepped by hand."""
    broker = Broker(settings, name="test")
    await broker.connect(wait_seconds=wait_seconds)
    publisher = Publisher(settings, broker, EventStream(broker, settings))
    try:
        yield publisher
    finally:
        await publisher.close()
        await broker.close()


async def drain(publisher: Publisher) -> None:
    """Step until the publisher wants to rest."""
    while await publisher.step() == 0:
        pass


async def waiting_at(database_url: str) -> int:
    """The messages that wait, seen over a connection of its own."""
    async with connected(database_url) as connection:
        return await waiting(connection)
