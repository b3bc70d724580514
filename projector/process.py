"""The projector process: its connections to the stream and to the database, until SIGTERM."""

from __future__ import annotations

from contextlib import AsyncExitStack

from engine.read.projection import SNAPSHOTS_TOPIC
from engine.runtime.announcer import Announcer
from engine.runtime.broker import Broker
from engine.runtime.checks import add_broker_check, add_database_checks
from engine.runtime.consumer import PullConsumer
from engine.runtime.database import Connection, connect, open_pool
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
    """Project until told to stop; several processes may do this at once."""
    settings = context.settings
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, size=CHECK_CONNECTIONS, name=NAME)
        stack.push_async_callback(pool.close)
        broker = Broker(settings, name=NAME)
        stack.push_async_callback(broker.close)
        await broker.connect(wait_seconds=0)
        consumer = PullConsumer(broker, EventStream(broker, settings), DURABLE)
        stack.push_async_callback(consumer.close)
        announcer = Announcer(lambda body: broker.announce(SNAPSHOTS_TOPIC, body))
        stack.callback(announcer.close)
        # A pass must not wait for the database beyond the grace that SIGTERM leaves.
        patience = settings.model_copy(update={"database_start_timeout": RECONNECT_SECONDS})

        async def reconnect() -> Connection:
            return await connect(patience, name=NAME)

        projector = Projector(consumer, reconnect, announcer.add)
        stack.push_async_callback(projector.close)
        add_database_checks(context.health, pool, allow_unsafe_durability=settings.allow_unsafe_durability)
        add_broker_check(context.health, broker)
        context.health.add("fold", projector.fault)
        await context.run_roles([projector])
