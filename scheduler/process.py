"""The scheduler process: everything that is due, and everything that heals."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack

from engine.read.projection import SNAPSHOTS_TOPIC
from engine.runtime.announcer import Announcer
from engine.runtime.broker import Broker
from engine.runtime.checks import add_database_checks
from engine.runtime.database import Connection, checkout, connect, open_pool
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import SchedulerProcess
from engine.write.desk import open_desk
from scheduler.due import DueRole
from scheduler.sweep import DeadlineRole, sweeps
from scheduler.upkeep import PartitionRole

NAME = "playlog-scheduler"
RECONNECT_SECONDS = 5.0


def main() -> int:
    """Run a scheduler until SIGTERM; return the exit code. Several may run at once."""
    return run_process("scheduler", run, SchedulerProcess)


async def run(context: ProcessContext[SchedulerProcess]) -> None:
    """Open what the roles share and run them until told to stop."""
    settings = context.settings
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, name=NAME)
        stack.push_async_callback(pool.close)
        broker = Broker(settings, name=NAME)
        stack.push_async_callback(broker.close)
        await broker.connect(wait_seconds=0)
        announcer = Announcer(lambda body: broker.announce(SNAPSHOTS_TOPIC, body))
        stack.callback(announcer.close)
        # An append must not wait for the database beyond the patience of those who asked for it.
        patience = settings.model_copy(update={"database_start_timeout": RECONNECT_SECONDS})

        async def reconnect() -> Connection:
            return await connect(patience, name=NAME)

        def borrow() -> AbstractAsyncContextManager[Connection]:
            return checkout(pool)

        desk = await stack.enter_async_context(open_desk(reconnect, borrow, broker.announce))
        add_database_checks(context.health, pool, allow_unsafe_durability=settings.allow_unsafe_durability)
        await context.run_roles(
            [
                DueRole(pool, desk.appender),
                DeadlineRole(pool, desk.appender),
                PartitionRole(pool),
                desk.deliveries,
                *sweeps(pool, announcer.add),
            ],
            wakes={desk.deliveries.name: desk.after.delivery_wake},
        )
