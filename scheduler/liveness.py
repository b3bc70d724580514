"""The loops that look for what nobody moves, and tell operators of it by incidents."""

from __future__ import annotations

from engine.read import sweep
from engine.runtime import metrics
from engine.runtime.database import Pool, checkout
from engine.write import liveness

INCIDENT_SECONDS = 10.0
STALLED_SECONDS = 60.0
STALLED_PAGE_SECONDS = 0.1


class IncidentRole:
    """Looks for pools without workers and for messages that fail; resolves what moves again.

    `patience` are the seconds that commands may be due before their pool is looked at.
    """

    name = "incidents"

    def __init__(self, pool: Pool, patience: float) -> None:
        self._pool = pool
        self._patience = patience

    async def step(self) -> float:
        """One look at everything, and the count of what is open."""
        async with checkout(self._pool) as connection:
            counts = await liveness.watch(connection, self._patience)
        for kind, count in counts.items():
            metrics.incidents_open.labels(kind).set(count)
        return INCIDENT_SECONDS


class StalledRole:
    """Pages through live executions and opens an incident for each in which nobody has the next move."""

    name = "stalled"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def step(self) -> float:
        """One page, kept as done once its incidents are open."""
        async with checkout(self._pool) as connection:
            swept = await sweep.sweep_stalled(connection)
            await liveness.report_stalled(connection, swept.execution_ids)
            await sweep.keep(connection, swept)
        return STALLED_PAGE_SECONDS if swept.more else STALLED_SECONDS
