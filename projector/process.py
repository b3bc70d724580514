"""The projector process: its connections to the stream and to the database, until SIGTERM."""

from __future__ import annotations

from contextlib import AsyncExitStack, closing
from functools import partial

from engine.read.projection import SNAPSHOTS_TOPIC
from engine.runtime.announcer import Announcer
from engine.runtime.broker import connecting
from engine.runtime.bus import Bus, Consumer
from engine.runtime.checks import add_broker_check, checked_pool
from engine.runtime.consumer import PullConsumer
from engine.runtime.database import reconnector
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import ProjectorProcess
from engine.runtime.stream import EventStream
from projector.role import Projector

NAME = "playlog-projector"
DURABLE = "projector"
CHECK_CONNECTIONS = 1
RECONNECT_SECONDS = 5.0


def main() -> int:
    """Run a projector until SIGTERM; return the exit code."""
    return run_process("projector", run, ProjectorProcess)


async def run(context: ProcessContext[ProjectorProcess]) -> None:
    """Project what NATS delivers until told to stop; several processes may do this at once."""
    async with connecting(context.settings, name=NAME) as broker:
        add_broker_check(context.health, broker)
        await project(context, broker, PullConsumer(broker, EventStream(broker, context.settings), DURABLE))


async def project(context: ProcessContext[ProjectorProcess], bus: Bus, consumer: Consumer) -> None:
    """Project what the consumer delivers until told to stop."""
    settings = context.settings
    async with AsyncExitStack() as stack:
        size = CHECK_CONNECTIONS
        await stack.enter_async_context(checked_pool(settings, context.health, name=NAME, size=size))
        stack.push_async_callback(consumer.close)
        announcer = stack.enter_context(closing(Announcer(partial(bus.announce, SNAPSHOTS_TOPIC))))
        reconnect = reconnector(settings, name=NAME, seconds=RECONNECT_SECONDS)
        projector = Projector(consumer, reconnect, announcer.add)
        stack.push_async_callback(projector.close)
        context.health.add("fold", projector.fault)
        await context.run_roles([projector])
