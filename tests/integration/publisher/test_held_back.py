"""A message that is leased or parked holds back the later ones of its execution, and nobody else."""

from __future__ import annotations

import nats
from nats.js.api import StreamConfig

from engine.write import outbox as http
from tests.support import outbox
from tests.support.servers import Connection


async def test_a_leased_message_holds_back_its_execution_only(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    await outbox.put(connection, (16, 1, 1), (16, 2, 2), (32, 1, 1), (32, 2, 2))
    leased = await http.claim(connection, limit=1)
    assert [(each.execution_id, each.first_version) for each in leased] == [(16, 1)]
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await outbox.drain(publisher)
        stored = await outbox.stream_content(nats_url)
        assert [(each.execution_id, each.first_version) for each in stored] == [(32, 1), (32, 2)]
        await http.mark_failed(connection, leased[0].outbox_id, "no", max_delay_seconds=0)
        await outbox.drain(publisher)
    assert outbox.gaps(await outbox.stream_content(nats_url), {16: 2, 32: 2}) == []


async def test_a_too_large_message_is_parked_and_the_others_go_on(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    [large] = await outbox.put(connection, (16, 1, 1), padding=9_000_000)
    await outbox.put(connection, (16, 2, 2), (32, 1, 1))
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await outbox.drain(publisher)
        assert await publisher.fault() is None
    row = await connection.fetchrow("select * from playlog.outbox where outbox_id = $1", large)
    assert row is not None
    assert "bytes, NATS takes" in row["last_error"]
    assert row["attempts"] == 1
    assert row["available_at"] > row["first_failed_at"]
    assert [each.execution_id for each in await outbox.stream_content(nats_url)] == [32]
    assert await outbox.waiting(connection) == 2


async def test_a_message_that_the_stream_refuses_is_parked_when_others_are_stored(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    client = await nats.connect(nats_url)
    await client.jetstream().add_stream(
        StreamConfig("PLAYLOG_EVENTS", subjects=["playlog.events.>"], max_msg_size=10_000, allow_direct=True)
    )
    await client.close()
    await outbox.put(connection, (16, 1, 1), padding=20_000)
    await outbox.put(connection, (16, 2, 2), (32, 1, 1), (48, 1, 1))
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await outbox.drain(publisher)
    assert sorted(each.execution_id for each in await outbox.stream_content(nats_url)) == [32, 48]
    assert await connection.fetchval("select last_error from playlog.outbox where last_version = 1")


async def test_it_dies_after_twenty_attempts_once_another_was_published(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    [large] = await outbox.put(connection, (16, 1, 1), padding=9_000_000)
    retry = "update playlog.outbox set available_at = clock_timestamp(), attempts = 25 where outbox_id = $1"
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await outbox.drain(publisher)
        await connection.execute(retry, large)
        await outbox.drain(publisher)
        assert (await http.dead(connection))[0] == []
        await outbox.put(connection, (32, 1, 1))
        await outbox.drain(publisher)
        await connection.execute(retry, large)
        await outbox.drain(publisher)
    [dead], _ = await http.dead(connection)
    assert (dead.outbox_id, dead.attempts) == (large, 26)
    assert await outbox.waiting(connection) == 0
    assert await http.redrive(connection, [large], actor="me") == 1
    assert (await http.dead(connection))[0] == []
    assert await outbox.waiting(connection) == 1
