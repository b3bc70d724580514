"""Messages reach the stream in order, whoever publishes them."""

from __future__ import annotations

import asyncio
import random

import orjson

from engine.domain.events import from_json
from publisher.role import Publisher
from tests.support import outbox
from tests.support.servers import Connection

IDS = [1_000_003 + step for step in range(40)]


async def test_messages_arrive_in_order_with_their_headers(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    await outbox.record(connection, IDS, events=2)
    await outbox.record(connection, IDS, events=3, tag="b")
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await outbox.drain(publisher)
        assert await publisher.fault() is None
    stored = await outbox.stream_content(nats_url)
    assert outbox.gaps(stored, dict.fromkeys(IDS, 5)) == []
    assert len(stored) == 80
    assert await outbox.waiting(connection) == 0
    first = stored[0]
    assert first.message_id == f"{first.execution_id}:1-2:1"
    assert first.headers["ce-specversion"] == "1.0"
    assert first.headers["ce-id"] == f"{first.execution_id}:1-2"
    events = [from_json(first.execution_id, event) for event in orjson.loads(first.data)["events"]]
    assert [event.version for event in events] == [1, 2]


async def test_nothing_waiting_rests_and_touches_no_shard(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        assert await publisher.step() == 5
    assert await connection.fetchval("select max(last_pass_at)::text from playlog.shard") == "-infinity"


async def test_several_messages_of_one_execution_share_a_batch(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    await outbox.put(connection, *[(77, version, version) for version in range(1, 501)])
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await publisher.step()
    assert outbox.gaps(await outbox.stream_content(nats_url), {77: 500}) == []


async def test_more_bytes_than_a_batch_takes_are_spread_over_passes(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    await outbox.put(connection, *[(78, version, version) for version in range(1, 41)], padding=500_000)
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        assert await publisher.step() == 0
        assert 0 < await outbox.waiting(connection) < 40
        await outbox.drain(publisher)
    assert outbox.gaps(await outbox.stream_content(nats_url), {78: 40}) == []


async def test_two_publishers_at_once_neither_lose_nor_reorder(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    chance = random.Random(7)
    versions = dict.fromkeys(range(5_000, 5_100), 0)
    spans = []
    for execution_id in chance.choices(list(versions), k=4_000):
        versions[execution_id] += 1
        spans.append((execution_id, versions[execution_id], versions[execution_id]))
    settings = outbox.publisher_settings(database_url, nats_url, publisher_shards=4)
    async with outbox.a_publisher(settings) as one, outbox.a_publisher(settings) as other:

        async def run(publisher: Publisher) -> int:
            passes = 0
            while await outbox.waiting_at(database_url):
                await publisher.step()
                passes += 1
            return passes

        await outbox.put(connection, *spans[:2_000])
        racing = asyncio.gather(run(one), run(other))
        await outbox.put(connection, *spans[2_000:])
        passes = await racing
        await outbox.drain(one)
    assert min(passes) > 1
    stored = await outbox.stream_content(nats_url)
    assert outbox.gaps(stored, versions) == []
    assert len(stored) == 4_000
    assert await outbox.waiting(connection) == 0
