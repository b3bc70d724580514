"""The publisher process: its connections put together, run until SIGTERM, and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from engine.runtime.broker import Broker
from engine.runtime.checks import add_broker_check, add_database_checks
from engine.runtime.database import open_pool
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import PublisherProcess
from engine.runtime.stream import EventStream
from engine.write.after_commit import OUTBOX_TOPIC
from publisher.role import Publisher

HELPER_SECONDS = 20.0

_CHECKING_CONNECTIONS = 2


def main() -> int:
    """Run a publisher until SIGTERM; return the exit code."""
    return run_process("publisher", run, PublisherProcess)


async def run(context: ProcessContext[PublisherProcess]) -> None:
    """Move the outbox to the stream until told to stop; readiness says what is in the way.

    A second publisher helps while more waits than one takes: one reads and deletes while the other sends.
    """
    settings = context.settings
    wake, help_wanted = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as opened:
        broker = await opened.enter_async_context(_broker(settings))
        first = Publisher(settings, broker, EventStream(broker, settings), call_help=help_wanted.set)
        second = Publisher(
            settings, broker, EventStream(broker, settings), name="publish_more", idle_seconds=HELPER_SECONDS
        )
        opened.push_async_callback(first.close)
        opened.push_async_callback(second.close)
        pool = await open_pool(settings, size=_CHECKING_CONNECTIONS, name="playlog-publisher-health")
        await opened.enter_async_context(pool)
        unsafe = settings.allow_unsafe_durability
        add_database_checks(context.health, pool, allow_unsafe_durability=unsafe)
        add_broker_check(context.health, broker)
        context.health.add("publishing", first.fault)
        await broker.listen(OUTBOX_TOPIC, lambda _: wake.set())
        await context.run_roles([first, second], wakes={first.name: wake, second.name: help_wanted})


@asynccontextmanager
async def _broker(settings: PublisherProcess) -> AsyncIterator[Broker]:
    broker = Broker(settings, name="playlog-publisher")
    await broker.connect(wait_seconds=0)
    try:
        yield broker
    finally:
        await broker.close()
