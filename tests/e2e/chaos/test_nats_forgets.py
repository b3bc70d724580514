"""The stream deleted, purged, its store wiped, under load: it is refilled, and nothing is missing."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import structlog
from nats.js import JetStreamContext

from bench.installation import Installation, installed
from engine.runtime.embedded import EmbeddedNats
from tests.support.checker import (
    STREAM,
    check_log,
    check_newest_generation,
    check_outbox_is_empty,
    check_snapshots,
)
from tests.support.eventually import eventually
from tests.support.faults import all_ended, database
from tests.support.load import Load
from tests.support.servers import temporary_home

BATCH = 60
BEFORE_THE_FAULT = 20
REFILL_SECONDS = 60.0

log = structlog.get_logger(__name__)


async def test_what_nats_forgets_is_published_again() -> None:
    with temporary_home() as home:
        server = EmbeddedNats(home)
        await server.start()
        try:
            async with installed(server.url) as installation:
                load = Load(installation.client)
                await one_fault(installation, load, "deleted", lambda: delete(server))
                await one_fault(installation, load, "purged", lambda: purge(server))
                await one_fault(installation, load, "wiped", lambda: wipe(server, home))
                await all_ended(installation, load, 60)
                async with database(installation) as connection:
                    await check_snapshots(connection, await check_log(connection))
        finally:
            await server.stop()


async def one_fault(
    installation: Installation, load: Load, name: str, fault: Callable[[], Awaitable[None]]
) -> None:
    """Fire a fault in the middle of a batch of starts, and wait until the stream holds the whole log."""
    done = len(load.acknowledged)
    starting = asyncio.create_task(load.start(range(done, done + BATCH)))

    async def busy() -> None:
        assert len(load.acknowledged) >= done + BEFORE_THE_FAULT
        async with database(installation) as connection:
            assert await connection.fetchval("select max(last_seq) from playlog.shard") > 0

    await eventually(busy, timeout=60)
    before = await generation(installation)
    await fault()
    began = time.monotonic()
    await starting
    assert len(load.acknowledged) == done + BATCH

    async def refilled() -> None:
        async with database(installation) as connection:
            await check_outbox_is_empty(connection)
            assert await connection.fetchval("select count(refill_after) from playlog.shard") == 0
            heads = await connection.fetch("select execution_id, version from playlog.execution")
        await check_newest_generation(server_url(installation), {head[0]: head[1] for head in heads})

    await eventually(refilled, timeout=REFILL_SECONDS)
    assert await generation(installation) == before + 1
    log.warning("stream.refilled", after=name, seconds=round(time.monotonic() - began, 1))


async def generation(installation: Installation) -> int:
    async with database(installation) as connection:
        return int(await connection.fetchval("select max(generation) from playlog.shard"))


async def delete(server: EmbeddedNats) -> None:
    async with jetstream(server) as context:
        assert (await context.stream_info(STREAM)).state.messages > 0
        await context.delete_stream(STREAM)


async def purge(server: EmbeddedNats) -> None:
    async with jetstream(server) as context:
        assert (await context.stream_info(STREAM)).state.messages > 0
        await context.purge_stream(STREAM)


async def wipe(server: EmbeddedNats, home: Path) -> None:
    await server.stop()
    wipe_store(home)
    await server.start()


def wipe_store(home: Path) -> None:
    [store] = home.rglob("jetstream")
    assert list(store.rglob("*.blk"))
    shutil.rmtree(store)


@asynccontextmanager
async def jetstream(server: EmbeddedNats) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(server.url)
    try:
        yield client.jetstream()
    finally:
        await client.close()


def server_url(installation: Installation) -> str:
    return installation.engine.servers.nats_url
