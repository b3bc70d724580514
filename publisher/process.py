"""The publisher process: its connections put together, run until SIGTERM, and closed in order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from engine.runtime.broker import connecting
from engine.runtime.bus import Bus, Stream
from engine.runtime.checks import add_broker_check, checked_pool
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import PublisherProcess
from engine.runtime.stream import EventStream
from engine.write.after_commit import OUTBOX_TOPIC
from publisher.role import Publisher

NAME = "playlog-publisher"
HELPER_SECONDS = 20.0

_CHECKING_CONNECTIONS = 2


def main() -> int:
    """Run a publisher until SIGTERM; return the exit code."""
    return run_process("publisher", run, PublisherProcess)


async def run(context: ProcessContext[PublisherProcess]) -> None:
    """Move the outbox to NATS until told to stop."""
    async with connecting(context.settings, name=NAME) as broker:
        add_broker_check(context.health, broker)
        await publish(context, broker, EventStream(broker, context.settings))


async def publish(context: ProcessContext[PublisherProcess], bus: Bus, stream: Stream) -> None:
    """Move the outbox to the stream until told to stop; readiness says what is in the way.

    A second publisher helps while more waits than one takes: one reads and deletes while the other sends.
    """
    settings = context.settings
    wake, help_wanted = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as opened:
        first = Publisher(settings, bus, stream, call_help=help_wanted.set)
        second = Publisher(settings, bus, stream, name="publish_more", idle_seconds=HELPER_SECONDS)
        opened.push_async_callback(first.close)
        opened.push_async_callback(second.close)
        name, size = f"{NAME}-health", _CHECKING_CONNECTIONS
        await opened.enter_async_context(checked_pool(settings, context.health, name=name, size=size))
        context.health.add("publishing", first.fault)
        await bus.listen(OUTBOX_TOPIC, lambda _: wake.set())
        await context.run_roles([first, second], wakes={first.name: wake, second.name: help_wanted})
