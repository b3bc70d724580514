"""Publisher and projector joined by memory: a row goes only after what it tells is committed elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine import errors
from engine.read.verify import verify
from engine.runtime.database import reconnector
from engine.runtime.memory import MemoryBus, MemoryStream
from projector.role import Projector
from publisher.role import Publisher
from tests.support import outbox
from tests.support.servers import Connection

EXECUTIONS = range(1, 40)
NATS = "nats://127.0.0.1:1"


@asynccontextmanager
async def a_publisher(database_url: str, stream: MemoryStream) -> AsyncIterator[Publisher]:
    publisher = Publisher(outbox.publisher_settings(database_url, NATS), MemoryBus(), stream)
    yield publisher
    await publisher.close()


@asynccontextmanager
async def a_projector(database_url: str, stream: MemoryStream) -> AsyncIterator[Projector]:
    settings = outbox.publisher_settings(database_url, NATS)
    projector = Projector(stream, reconnector(settings, name="test", seconds=5.0), lambda *_: None)
    yield projector
    await projector.close()


async def publish_all(database_url: str, stream: MemoryStream) -> None:
    """Run both until the publisher wants to rest."""
    async with a_publisher(database_url, stream) as publisher, a_projector(database_url, stream) as projector:
        publishing = asyncio.create_task(outbox.drain(publisher))
        async with asyncio.timeout(30):
            while not publishing.done():
                await projector.step()
        await publishing


async def projected(connection: Connection) -> dict[int, int]:
    rows = await connection.fetch("select execution_id, version from playlog.snapshot")
    return dict(map(tuple, rows))


async def test_everything_is_projected_and_every_row_deleted(
    connection: Connection, database_url: str
) -> None:
    await outbox.record(connection, EXECUTIONS, events=2)
    await outbox.record(connection, EXECUTIONS, events=1, tag="b")
    await publish_all(database_url, MemoryStream())
    assert await projected(connection) == dict.fromkeys(EXECUTIONS, 3)
    assert (await verify(connection, list(EXECUTIONS))).drifted == []
    assert await outbox.waiting(connection) == 0


async def test_a_row_waits_for_the_commit_of_the_projection(
    connection: Connection, database_url: str
) -> None:
    await outbox.record(connection, EXECUTIONS, events=2)
    stream = MemoryStream()
    async with a_publisher(database_url, stream) as publisher, a_projector(database_url, stream) as projector:
        publishing = asyncio.create_task(outbox.drain(publisher))
        stream.hand_back(await stream.fetch(10, 10.0))
        assert await outbox.waiting(connection) == len(EXECUTIONS)
        assert not publishing.done()
        while not publishing.done():
            await projector.step()
        await publishing
    assert await outbox.waiting(connection) == 0
    assert await projected(connection) == dict.fromkeys(EXECUTIONS, 2)


async def test_what_nobody_acknowledges_stays_and_is_told_as_unready(
    connection: Connection, database_url: str
) -> None:
    await outbox.record(connection, EXECUTIONS, events=2)
    stream = MemoryStream(publish_seconds=0.05)
    async with a_publisher(database_url, stream) as publisher:
        with pytest.raises(errors.UnknownOutcome):
            await outbox.drain(publisher)
        fault = await publisher.fault()
    assert fault is not None
    assert fault.startswith("broker_not_accepting")
    assert await outbox.waiting(connection) == len(EXECUTIONS)
    await publish_all(database_url, MemoryStream())
    assert await projected(connection) == dict.fromkeys(EXECUTIONS, 2)


async def test_a_restart_is_no_loss_and_a_change_to_and_from_nats_is(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    await outbox.record(connection, EXECUTIONS, events=2)
    await publish_all(database_url, MemoryStream())
    first = await generation(connection)
    await publish_all(database_url, MemoryStream())
    assert await generation(connection) == first
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await outbox.drain(publisher)
    assert await generation(connection) == first + 1
    assert outbox.gaps(await outbox.stream_content(nats_url), dict.fromkeys(EXECUTIONS, 2)) == []
    await connection.execute("delete from playlog.snapshot")
    await publish_all(database_url, MemoryStream())
    assert await generation(connection) == first + 2
    assert await projected(connection) == dict.fromkeys(EXECUTIONS, 2)


async def generation(connection: Connection) -> int:
    return int(await connection.fetchval("select max(generation) from playlog.shard"))
