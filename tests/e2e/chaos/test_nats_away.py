"""NATS stopped for ten seconds under load: work goes on, nothing is lost, the outbox drains by itself."""

from __future__ import annotations

import asyncio

from bench.installation import Installation, installed
from engine.runtime.embedded import EmbeddedNats
from tests.support.eventually import eventually
from tests.support.faults import all_ended, database, one_story
from tests.support.load import Load
from tests.support.servers import temporary_home

BATCH = 60
AWAY_SECONDS = 10.0


async def test_work_goes_on_while_nats_is_away_and_the_outbox_drains_when_it_is_back() -> None:
    with temporary_home() as home:
        nats = EmbeddedNats(home)
        await nats.start()
        try:
            async with installed(nats.url) as installation:
                await outage(installation, nats)
        finally:
            await nats.stop()


async def outage(installation: Installation, nats: EmbeddedNats) -> None:
    load = Load(installation.client)
    await load.start(range(BATCH))
    await nats.stop()
    away = asyncio.create_task(asyncio.sleep(AWAY_SECONDS))
    await load.start(range(BATCH, 2 * BATCH))

    async def check() -> None:
        async with database(installation) as connection:
            assert await connection.fetchval("select count(*) from playlog.outbox") > 0
            ended = await connection.fetchval(
                "select count(*) from playlog.execution where ended_at is not null"
            )
            assert ended == 2 * BATCH, "work stands still without the broker"

    await eventually(check, timeout=60)
    await away
    await nats.start()
    await all_ended(installation, load, 60)
    await one_story(installation, load)
