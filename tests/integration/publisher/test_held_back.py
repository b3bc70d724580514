"""A message that is leased or parked holds back the later ones of its execution, and nobody else."""

from __future__ import annotations

import nats
import pytest
from nats.js.api import StreamConfig

from engine.runtime.atomic_batch import BatchRefused
from engine.runtime.stream import EventStream
from engine.write import outbox as http
from publisher.sending import ID_NOT_TAKEN
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


async def test_a_message_that_would_break_the_protocol_is_parked_and_the_others_go_on(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    [broken, *_] = await outbox.put(connection, (16, 1, 1), (16, 2, 2), (32, 1, 1), (48, 1, 1))
    await connection.execute("update playlog.outbox set subject = 'a b' where outbox_id = $1", broken)
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await outbox.drain(publisher)
        assert await publisher.fault() is None
    assert sorted(each.execution_id for each in await outbox.stream_content(nats_url)) == [32, 48]
    parked = await connection.fetchrow("select * from playlog.outbox where last_error is not null")
    assert parked is not None
    assert (parked["outbox_id"], parked["attempts"]) == (broken, 1)


async def test_a_server_that_takes_no_ids_in_batches_gets_single_messages_in_order(
    connection: Connection, database_url: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = 0

    async def refuse(_stream: EventStream, _messages: object) -> int:
        nonlocal refusals
        refusals += 1
        raise BatchRefused(ID_NOT_TAKEN, "atomic publish unsupported header used: Nats-Msg-Id")

    monkeypatch.setattr(EventStream, "publish_atomic", refuse)
    ids = range(500, 520)
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        for version in (1, 2, 3):
            later = [(each, version * 2, version * 2) for each in ids]
            await outbox.put(connection, *[(each, last - 1, last - 1) for each, last, _ in later], *later)
            await outbox.drain(publisher)
    assert refusals == 1
    stored = await outbox.stream_content(nats_url)
    assert len(stored) == 6 * len(ids)
    assert outbox.gaps(stored, dict.fromkeys(ids, 6)) == []
