"""While NATS is away nothing is parked; when it is back the outbox drains by itself."""

from __future__ import annotations

import asyncio

import nats
import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from engine.errors import PlaylogError
from engine.runtime.embedded import EmbeddedNats
from engine.runtime.health import LoopProgress
from engine.runtime.loop import run_role
from tests.support import outbox
from tests.support.eventually import eventually
from tests.support.servers import Connection


async def test_it_drains_by_itself_after_nats_was_away(
    connection: Connection, database_url: str, nats_url: str, nats_server: EmbeddedNats
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await outbox.put(connection, (5, 1, 1))
        await outbox.drain(publisher)
        await nats_server.kill()
        try:
            await outbox.put(connection, (5, 2, 2), (6, 1, 1))
            with pytest.raises(PlaylogError):
                await publisher.step()
            assert "broker_" in (await publisher.fault() or "")
            assert await connection.fetchval("select max(attempts) from playlog.outbox") == 0
        finally:
            await nats_server.restart()
        stop, progress = asyncio.Event(), LoopProgress()
        running = asyncio.create_task(run_role(publisher, stop=stop, progress=progress))

        async def drained() -> None:
            assert await outbox.waiting(connection) == 0

        await eventually(drained, timeout=30)
        stop.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert progress.fault() is None
    assert outbox.gaps(await outbox.stream_content(nats_url), {5: 2, 6: 1}) == []
    assert await connection.fetchval("select max(generation) from playlog.shard") == 1


async def test_a_stream_that_is_full_is_a_reason_and_parks_nothing(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with outbox.a_publisher(settings) as publisher:
        await publisher.step()
        client = await nats.connect(nats_url)
        info = await client.jetstream().stream_info("PLAYLOG_EVENTS")
        config: StreamConfig = info.config
        config.discard, config.max_bytes = DiscardPolicy.NEW, 100
        await client.jetstream().update_stream(config)
        await client.close()
        await outbox.put(connection, (5, 1, 1), (6, 1, 1))
        with pytest.raises(PlaylogError) as caught:
            await publisher.step()
        assert caught.value.code == "broker_not_accepting"
        assert "broker_not_accepting" in (await publisher.fault() or "")
        assert await connection.fetchval("select max(attempts) from playlog.outbox") == 0
        await outbox.drain(publisher)
    assert outbox.gaps(await outbox.stream_content(nats_url), {5: 1, 6: 1}) == []
