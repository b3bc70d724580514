"""The publisher process: its connections put together, run until SIGTERM, and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.runtime.broker import connecting
from engine.runtime.bus import Bus, Stream
from engine.runtime.checks import add_broker_check, checked_pool
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import PublisherProcess
from engine.runtime.stream import EventStream
from engine.write.after_commit import OUTBOX_TOPIC
from publisher.role import Publisher

NAME = "playlog-publisher"
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
    """Move the outbox to NATS until told to stop."""
    async with connecting(context.settings, name=NAME) as broker:
        add_broker_check(context.health, broker)
        await publish(context, broker, EventStream(broker, context.settings))


async def publish(context: ProcessContext[PublisherProcess], bus: Bus, stream: Stream) -> None:
    """Move the outbox to the stream until told to stop; readiness says what is in the way."""
    settings = context.settings
    async with AsyncExitStack() as opened:
        publishing = await opened.enter_async_context(publishers(settings, bus, stream))
        name, size = f"{NAME}-health", _CHECKING_CONNECTIONS
        await opened.enter_async_context(checked_pool(settings, context.health, name=name, size=size))
        context.health.add("publishing", publishing.roles[0].fault)
        await bus.listen(OUTBOX_TOPIC, lambda _: publishing.wake.set())
        await context.run_roles(publishing.roles, wakes=publishing.wakes)


@asynccontextmanager
async def publishers(settings: PublisherProcess, bus: Bus, stream: Stream) -> AsyncIterator[Publishers]:
    """Two publishers: the second helps while more waits than one takes.

    One reads and deletes while the other sends.
    """
    wake, help_wanted = asyncio.Event(), asyncio.Event()
    first = Publisher(settings, bus, stream, call_help=help_wanted.set)
    second = Publisher(settings, bus, stream, name="publish_more", idle_seconds=HELPER_SECONDS)
    try:
        yield Publishers((first, second), {first.name: wake, second.name: help_wanted}, wake)
    finally:
        await first.close()
        await second.close()
