"""The loop for everything that is due: timers, expired leases, deliveries nobody has carried out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from engine.runtime import metrics
from engine.runtime.database import Connection, Pool, checkout
from engine.write import commands, deliveries, leases, timers
from engine.write.definitions import Definitions
from engine.write.due import NextDue, next_due
from engine.write.requests import Request
from engine.write.writer import Appender
from scheduler.each import Served, append_each

BATCH = 500
LONGEST_REST = 1.5
SHORTEST_REST = 0.02

Postpone = Callable[[Connection, Request, float], Awaitable[None]]


class DueRole:
    """One look at the three queues, then an append for each thing that is due.

    What fails or stays due is postponed: however many of them there are, they do not hold up the others.
    """

    name = "due"

    def __init__(self, pool: Pool, appender: Appender) -> None:
        self._pool = pool
        self._appender = appender
        self._definitions = Definitions()

    async def step(self) -> float:
        """Serve what is due; rest until the next thing is, at most 1.5 seconds."""
        async with checkout(self._pool) as connection:
            coming = await next_due(connection)
            if coming.soonest is None or coming.soonest > 0:
                return _rest(coming.soonest)
            served = await self._serve(connection, coming)
        return SHORTEST_REST if served < BATCH else 0.0

    async def _serve(self, connection: Connection, coming: NextDue) -> int:
        served = 0
        if _is_due(coming.timer):
            served = max(served, await self._fire_timers(connection))
        if _is_due(coming.lease):
            served = max(served, await self._expire_leases(connection))
        if _is_due(coming.delivery):
            served = max(served, await self._carry_out(connection))
        return served

    async def _fire_timers(self, connection: Connection) -> int:
        fired = await append_each(self._appender, "timer", await timers.due(connection, BATCH))
        for each in fired:
            if each.is_unknown:
                await timers.forget(connection, each.request)
        await _postpone(connection, fired, timers.postpone)
        return len(fired)

    async def _expire_leases(self, connection: Connection) -> int:
        expired = await append_each(self._appender, "lease", await commands.expired(connection, BATCH))
        await _postpone(connection, expired, leases.postpone)
        return len(expired)

    async def _carry_out(self, connection: Connection) -> int:
        waiting = await deliveries.due(connection, BATCH)
        carried = await deliveries.carry_out(connection, self._appender, self._definitions, waiting)
        metrics.due_served.labels("delivery").inc(carried.done)
        metrics.due_failed.labels("delivery").inc(carried.failed)
        return len(waiting)


async def _postpone(connection: Connection, served: Sequence[Served], postpone: Postpone) -> None:
    for each in served:
        if each.postpone_seconds is not None:
            await postpone(connection, each.request, each.postpone_seconds)


def _is_due(seconds: float | None) -> bool:
    return seconds is not None and seconds <= 0


def _rest(soonest: float | None) -> float:
    if soonest is None:
        return LONGEST_REST
    return min(max(soonest, SHORTEST_REST), LONGEST_REST)
