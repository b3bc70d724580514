"""The publisher process: its connections put together, run until SIGTERM, and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.runtime.broker import Broker
from engine.runtime.checks import add_broker_check, add_database_checks
from engine.runtime.database import open_pool
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import PublisherProcess
from engine.runtime.stream import EventStream
from engine.write.after_commit import OUTBOX_TOPIC
from publisher.role import Publisher

HELPER_SECONDS = 60.0

_CHECKING_CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class Publishers:
    """The roles of a publisher with the event that wakes each; `wake` says that something was appended."""

    roles: tuple[Publisher, ...]
    wakes: dict[str, asyncio.Event]
    wake: asyncio.Event


def main() -> int:
    """Run a publisher until SIGTERM; return the exit code."""
    return run_process("publisher", run, PublisherProcess)


async def run(context: ProcessContext[PublisherProcess]) -> None:
    """Move the outbox to the stream until told to stop; readiness says what is in the way."""
    settings = context.settings
    async with AsyncExitStack() as opened:
        broker = await opened.enter_async_context(_broker(settings))
        publishing = await opened.enter_async_context(publishers(settings, broker))
        pool = await open_pool(settings, size=_CHECKING_CONNECTIONS, name="playlog-publisher-health")
        await opened.enter_async_context(pool)
        unsafe = settings.allow_unsafe_durability
        add_database_checks(context.health, pool, allow_unsafe_durability=unsafe)
        add_broker_check(context.health, broker)
        context.health.add("publishing", publishing.roles[0].fault)
        await broker.listen(OUTBOX_TOPIC, lambda _: publishing.wake.set())
        await context.run_roles(publishing.roles, wakes=publishing.wakes)


@asynccontextmanager
async def publishers(settings: PublisherProcess, broker: Broker) -> AsyncIterator[Publishers]:
    """Two publishers: the second helps while more waits than one takes.

    One reads and deletes while the other sends.
    """
    wake, help_wanted = asyncio.Event(), asyncio.Event()
    first = Publisher(settings, broker, EventStream(broker, settings), call_help=help_wanted.set)
    second = Publisher(
        settings, broker, EventStream(broker, settings), name="publish_more", idle_seconds=HELPER_SECONDS
    )
    try:
        yield Publishers((first, second), {first.name: wake, second.name: help_wanted}, wake)
    finally:
        await first.close()
        await second.close()


@asynccontextmanager
async def _broker(settings: PublisherProcess) -> AsyncIterator[Broker]:
    broker = Broker(settings, name="playlog-publisher")
    await broker.connect(wait_seconds=0)
    try:
        yield broker
    finally:
        await broker.close()
