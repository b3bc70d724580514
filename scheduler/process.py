"""The scheduler process: everything that is due, and everything that heals."""

from __future__ import annotations

from contextlib import AsyncExitStack, closing
from functools import partial

from engine.read.projection import SNAPSHOTS_TOPIC
from engine.runtime.announcer import Announcer
from engine.runtime.broker import connecting
from engine.runtime.bus import Bus
from engine.runtime.checks import checked_pool
from engine.runtime.database import checkout, reconnector
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import SchedulerProcess
from engine.write.desk import open_desk
from scheduler.due import DueRole
from scheduler.liveness import IncidentRole, StalledRole
from scheduler.sweep import DeadlineRole, sweeps
from scheduler.upkeep import PartitionRole

NAME = "playlog-scheduler"
RECONNECT_SECONDS = 5.0


def main() -> int:
    """Run a scheduler until SIGTERM; return the exit code. Several may run at once."""
    return run_process("scheduler", run, SchedulerProcess)


async def run(context: ProcessContext[SchedulerProcess]) -> None:
    """Schedule until told to stop; NATS may be away: then others are woken later."""
    async with connecting(context.settings, name=NAME) as broker:
        await schedule(context, broker)


async def schedule(context: ProcessContext[SchedulerProcess], bus: Bus) -> None:
    """Open what the roles share and run them until told to stop."""
    settings = context.settings
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(checked_pool(settings, context.health, name=NAME))
        announcer = stack.enter_context(closing(Announcer(partial(bus.announce, SNAPSHOTS_TOPIC))))
        reconnect = reconnector(settings, name=NAME, seconds=RECONNECT_SECONDS)
        desk = await stack.enter_async_context(open_desk(reconnect, partial(checkout, pool), bus.announce))
        await context.run_roles(
            [
                DueRole(pool, desk.appender),
                DeadlineRole(pool, desk.appender),
                PartitionRole(pool),
                IncidentRole(pool, settings.pool_patience),
                StalledRole(pool),
                desk.deliveries,
                *sweeps(pool, announcer.add),
            ],
            wakes={desk.deliveries.name: desk.after.delivery_wake},
        )
