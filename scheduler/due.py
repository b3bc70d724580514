"""The loop for everything that is due: timers, expired leases, deliveries nobody has carried out."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from engine.runtime import metrics
from engine.runtime.database import Connection, Pool, checkout
from engine.write import commands, deliveries, timers
from engine.write.definitions import Definitions
from engine.write.due import NextDue, next_due
from engine.write.requests import Request
from engine.write.writer import Appender

BATCH = 500
LONGEST_REST = 1.5
SHORTEST_REST = 0.02

_log = structlog.get_logger(__name__)


class DueRole:
    """One look at the three queues, then an append for each thing that is due."""

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
            served = max(served, await self._append("lease", await commands.expired(connection, BATCH)))
        if _is_due(coming.delivery):
            waiting = await deliveries.due(connection, BATCH)
            await deliveries.carry_out(connection, self._appender, self._definitions, waiting)
            metrics.due_served.labels("delivery").inc(len(waiting))
            served = max(served, len(waiting))
        return served

    async def _fire_timers(self, connection: Connection) -> int:
        requests = await timers.due(connection, BATCH)
        outcomes = await self._appender.submit_all(requests)
        metrics.due_served.labels("timer").inc(len(requests))
        for request, outcome in zip(requests, outcomes, strict=True):
            if outcome.is_unknown:
                _log.warning("timer.orphan", execution_id=request.execution_id)
                await timers.forget(connection, request)
        return len(requests)

    async def _append(self, kind: str, requests: Sequence[Request]) -> int:
        await self._appender.submit_all(requests)
        metrics.due_served.labels(kind).inc(len(requests))
        return len(requests)


def _is_due(seconds: float | None) -> bool:
    return seconds is not None and seconds <= 0


def _rest(soonest: float | None) -> float:
    if soonest is None:
        return LONGEST_REST
    return min(max(soonest, SHORTEST_REST), LONGEST_REST)
