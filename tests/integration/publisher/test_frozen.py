"""A publisher that slept through a takeover and goes on sending repeats old messages at most."""

from __future__ import annotations

from collections.abc import Sequence

import nats
import pytest

from engine.domain.subjects import event_subject
from engine.errors import PlaylogError
from publisher.role import Publisher
from publisher.sending import Parcel, Sender, Sent
from tests.support import outbox
from tests.support.eventually import eventually
from tests.support.servers import Connection

IDS = range(800, 830)
FIRST = [(execution_id, version, version) for version in (1, 2, 3) for execution_id in IDS]
LATER = [(execution_id, version, version) for version in (4, 5) for execution_id in IDS]
TERMINATE = """
select pg_terminate_backend(pid) from pg_stat_activity
where application_name = 'playlog-publisher' and datname = current_database()
    and state = 'idle in transaction'
"""


@pytest.mark.parametrize("forgotten", [False, True], ids=["ids_known", "ids_forgotten"])
async def test_waking_up_after_a_takeover_repeats_at_most(
    connection: Connection,
    database_url: str,
    nats_url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    forgotten: bool,
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url, publisher_shards=16)
    send = Sender.send
    async with outbox.a_publisher(settings) as sleeper, outbox.a_publisher(settings) as other:
        await other.step()
        await outbox.put(connection, *FIRST)

        async def sleep_and_send(self: Sender, parcels: Sequence[Parcel], expected_seq: int) -> Sent:
            monkeypatch.setattr(Sender, "send", send)
            assert len(parcels) == len(FIRST)
            await take_over(other, connection)
            if forgotten:
                await forget_message_ids(nats_url)
            return await send(self, parcels, expected_seq)

        monkeypatch.setattr(Sender, "send", sleep_and_send)
        with pytest.raises(PlaylogError, match="database is away"):
            await sleeper.step()
        await outbox.drain(sleeper)
    stored = await outbox.stream_content(nats_url)
    repeated = [LATER[-1], *FIRST] if forgotten else []
    expected = [f"{execution_id}:{first}-{last}:1" for execution_id, first, last in FIRST + LATER + repeated]
    assert [message.message_id for message in stored] == expected
    assert outbox.gaps(stored, dict.fromkeys(IDS, 5)) == []
    assert await outbox.waiting(connection) == 0
    assert await connection.fetchval("select max(generation) from playlog.shard") == 1


async def take_over(other: Publisher, connection: Connection) -> None:
    """PostgreSQL ends the sleeper's transaction, and another publishes its messages and later ones."""
    assert await connection.fetchval(TERMINATE)
    await outbox.put(connection, *LATER)
    while await outbox.waiting(connection):
        await other.step()


async def forget_message_ids(nats_url: str) -> None:
    """As after the two minutes of the duplicate window; the newest message is then stored once more."""
    newest = (await outbox.stream_content(nats_url))[-1]
    client = await nats.connect(nats_url)
    try:
        jetstream = client.jetstream()
        config = (await jetstream.stream_info("PLAYLOG_EVENTS")).config
        config.duplicate_window = 0.1
        await jetstream.update_stream(config)

        async def forgotten() -> None:
            subject = event_subject(newest.execution_id)
            again = await jetstream.publish(subject, newest.data, headers={"Nats-Msg-Id": newest.message_id})
            assert not again.duplicate

        await eventually(forgotten)
    finally:
        await client.close()
