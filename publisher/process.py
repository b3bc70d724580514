"""The publisher process: its connections put together, run until SIGTERM, and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.runtime.broker import Broker
from engine.runtime.checks import add_broker_check, add_database_checks
from engine.runtime.database import open_pool
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import PublisherProcess
from engine.runtime.stream import EventStream
from engine.write.after_commit import OUTBOX_TOPIC
from publisher.role import Publisher

_CHECKING_CONNECTIONS = 2


def main() -> int:
    """Run a publisher until SIGTERM; return the exit code."""
    return run_process("publisher", run, PublisherProcess)


async def run(context: ProcessContext[PublisherProcess]) -> None:
    """Move the outbox to the stream until told to stop; readiness says what is in the way."""
    settings = context.settings
    wake = asyncio.Event()
    async with _broker(settings) as broker, _publisher(settings, broker) as publisher:
        pool = await open_pool(settings, size=_CHECKING_CONNECTIONS, name="playlog-publisher-health")
        async with pool:
            unsafe = settings.allow_unsafe_durability
            add_database_checks(context.health, pool, allow_unsafe_durability=unsafe)
            add_broker_check(context.health, broker)
            context.health.add("publishing", publisher.fault)
            await broker.listen(OUTBOX_TOPIC, lambda _: wake.set())
            await context.run_roles([publisher], wakes={publisher.name: wake})


@asynccontextmanager
async def _broker(settings: PublisherProcess) -> AsyncIterator[Broker]:
    broker = Broker(settings, name="playlog-publisher")
    await broker.connect(wait_seconds=0)
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def _publisher(settings: PublisherProcess, broker: Broker) -> AsyncIterator[Publisher]:
    publisher = Publisher(settings, broker, EventStream(broker, settings))
    try:
        yield publisher
    finally:
        await publisher.close()
