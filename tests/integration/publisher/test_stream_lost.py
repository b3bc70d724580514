"""PostgreSQL is the only truth: what the stream forgot is published again from the log."""

from __future__ import annotations

import nats
import pytest

from engine.domain.events import NewEvent
from engine.domain.messages import MESSAGE_BYTES
from engine.errors import PlaylogError
from engine.write import shards
from engine.write.append import Context, append
from engine.write.requests import Request
from publisher import refill, sending, stream_watch
from publisher.role import Publisher
from tests.support import outbox, servers
from tests.support.servers import Connection

IDS = list(range(7_000, 7_040))


async def test_a_recreated_stream_is_refilled_in_order(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await outbox.record(connection, IDS, events=3)
        await outbox.drain(publisher)
        await outbox.record(connection, IDS[:10], events=2, tag="b")
        await servers.delete_streams(nats_url)
        await _step_through(publisher)
    stored = await outbox.stream_content(nats_url)
    assert outbox.gaps(stored, dict.fromkeys(IDS, 3) | dict.fromkeys(IDS[:10], 5)) == []
    assert {message.message_id.rpartition(":")[2] for message in stored} == {"2"}
    assert await outbox.waiting(connection) == 0
    assert await connection.fetchval("select count(refill_after) from playlog.shard") == 0


async def test_a_purged_stream_is_refilled_once_whoever_notices_it(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher, outbox.a_publisher(settings) as other:
        await outbox.record(connection, IDS, events=3)
        await outbox.drain(publisher)
        await other.step()
        await _purge(nats_url)
        await outbox.record(connection, IDS[:10], events=2, tag="b")
        for each in (publisher, other):
            each._watch._checked_at -= stream_watch.RECHECK_SECONDS
            await _step_through(each)
    stored = await outbox.stream_content(nats_url)
    assert {message.message_id.rpartition(":")[2] for message in stored} == {"2"}
    assert outbox.gaps(stored, dict.fromkeys(IDS, 3) | dict.fromkeys(IDS[:10], 5)) == []
    assert await connection.fetchval("select count(refill_after) from playlog.shard") == 0


async def test_a_stream_purged_while_nobody_publishes_is_noticed(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await outbox.record(connection, IDS, events=3)
        await outbox.drain(publisher)
    await _purge(nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await _step_through(publisher)
    assert outbox.gaps(await outbox.stream_content(nats_url), dict.fromkeys(IDS, 3)) == []


async def test_a_stream_recreated_while_nobody_publishes_is_noticed(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await outbox.record(connection, IDS, events=3)
        await outbox.drain(publisher)
    await servers.delete_streams(nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await _step_through(publisher)
    assert outbox.gaps(await outbox.stream_content(nats_url), dict.fromkeys(IDS, 3)) == []


async def test_a_rolled_back_stream_is_refilled_from_the_checkpoint(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await outbox.record(connection, IDS, events=1)
        await outbox.drain(publisher)
        await connection.execute(
            "update playlog.shard set last_seq = last_seq + 5, safe_seq = 2,"
            " safe_at = clock_timestamp() - interval '1 minute'"
        )
    async with outbox.a_publisher(settings) as publisher:
        await _step_through(publisher)
    rows = await connection.fetch("select distinct generation, safe_seq from playlog.shard")
    assert [tuple(row) for row in rows] == [(2, 2)]
    stored = await outbox.stream_content(nats_url)
    assert len(stored) == 2 * len(IDS)
    assert outbox.gaps(stored[len(IDS) :], dict.fromkeys(IDS, 1)) == []


async def test_a_refill_goes_on_where_a_crash_ended_it(
    connection: Connection, database_url: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    monkeypatch.setattr(refill, "_EXECUTIONS", 7)
    async with outbox.a_publisher(settings) as publisher:
        await outbox.record(connection, IDS, events=2)
        await outbox.drain(publisher)
    await servers.delete_streams(nats_url)
    async with outbox.a_publisher(settings) as publisher:
        assert await publisher.step() == 0
        with monkeypatch.context() as patched:
            patched.setattr(shards, "advance_refills", _crash)
            with pytest.raises(Exception, match="database is away"):
                await publisher.step()
    assert await connection.fetchval("select count(refill_after) from playlog.shard") > 0
    async with outbox.a_publisher(settings) as publisher:
        await _step_through(publisher)
    stored = await outbox.stream_content(nats_url)
    assert outbox.gaps(stored, dict.fromkeys(IDS, 2)) == []
    assert len(stored) == len(IDS)


async def test_another_database_raises_the_generation(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await outbox.record(connection, IDS, events=2)
        await outbox.drain(publisher)
    await connection.execute("update playlog.shard set server = '1/00000001'")
    async with outbox.a_publisher(settings) as publisher:
        await _step_through(publisher)
    assert await connection.fetchval("select min(generation) from playlog.shard") == 2
    assert outbox.gaps(await outbox.stream_content(nats_url), dict.fromkeys(IDS, 2)) == []


async def test_a_refill_holds_the_same_events_as_the_append_wrote(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await outbox.record(connection, IDS[:1], events=3)
        await outbox.drain(publisher)
        before = await outbox.stream_content(nats_url)
        await servers.delete_streams(nats_url)
        await outbox.record(connection, [1], events=1)
        await _step_through(publisher)
    after = await outbox.stream_content(nats_url)
    assert before[0].data in {message.data for message in after}


async def test_a_refill_that_runs_out_of_time_goes_on_with_what_was_not_tried(
    connection: Connection, database_url: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await outbox.record(connection, IDS, events=1)
        await outbox.record(connection, IDS[:1], events=1, tag="x" * 10_000)
        await outbox.drain(publisher)
    await servers.delete_streams(nats_url)
    async with outbox.a_publisher(settings) as publisher:
        assert await publisher.step() == 0
        with monkeypatch.context() as patched:
            patched.setattr(sending, "_START_SECONDS", -1)
            patched.setattr(sending, "MOST_BYTES", 5_000)
            with pytest.raises(PlaylogError, match="too slowly"):
                await publisher.step()
        await _step_through(publisher)
    assert outbox.gaps(await outbox.stream_content(nats_url), dict.fromkeys(IDS, 1) | {IDS[0]: 2}) == []


async def test_a_refill_makes_messages_that_nats_takes_however_large_what_is_not_payload_is(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    events = tuple(
        NewEvent(event_type="x", status="RUNNING", event_id=number, meta={"about": "x" * 5_000})
        for number in range(1, 301)
    )
    await connection.execute(outbox.HEADS, [5])
    await append(connection, [Request(execution_id=5, events=events)], Context())
    async with outbox.a_publisher(settings) as publisher:
        await outbox.drain(publisher)
    await servers.delete_streams(nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await _step_through(publisher)
    stored = await outbox.stream_content(nats_url)
    assert max(len(message.data) for message in stored) <= MESSAGE_BYTES
    assert outbox.gaps(stored, {5: 300}) == []


async def _step_through(publisher: Publisher) -> None:
    """Step until nothing is left, over the passes that find the stream gone."""
    for _ in range(50):
        try:
            if await publisher.step() > 0:
                return
        except PlaylogError as error:
            if not error.code.startswith("broker_"):
                raise
    raise AssertionError("it never comes to rest")


async def _purge(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    await client.jetstream().purge_stream("PLAYLOG_EVENTS")
    await client.close()


async def _crash(*_: object) -> None:
    raise ConnectionError
