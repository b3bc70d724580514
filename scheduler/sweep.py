"""The loops that heal: snapshots behind their log, snapshots of an older fold, deadlines far away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from engine.read import sweep
from engine.read.projection import advance
from engine.read.sweep import Swept
from engine.runtime import metrics
from engine.runtime.database import Connection, Pool, checkout
from engine.write import timers
from engine.write.writer import Appender

SWEEP_SECONDS = 10.0
REFOLD_SECONDS = 60.0
DEADLINE_SECONDS = 30.0
PAGE = 1_000

_log = structlog.get_logger(__name__)

Pass = Callable[[Connection], Awaitable[Swept]]


class SweepRole:
    """Pages through executions with one of the passes of `engine.read.sweep` and advances what is behind.

    `healed(versions)` is told each execution_id with the version its snapshot has now.
    """

    def __init__(
        self, name: str, pool: Pool, one_page: Pass, rest: float, healed: Callable[[int, int], None]
    ) -> None:
        self.name = name
        self._pool = pool
        self._one_page = one_page
        self._rest = rest
        self._healed = healed

    async def step(self) -> float:
        """One page; rest when it was the last."""
        async with checkout(self._pool) as connection:
            swept = await self._one_page(connection)
            if swept.execution_ids:
                await self._heal(connection, swept.execution_ids)
        return 0.0 if swept.more else self._rest

    async def _heal(self, connection: Connection, execution_ids: list[int]) -> None:
        projected = await advance(connection, execution_ids)
        metrics.sweep_healed.labels(self.name).inc(len(projected.versions))
        _log.info("sweep.healed", sweep=self.name, executions=len(projected.versions))
        for execution_id, version in projected.versions.items():
            self._healed(execution_id, version)


def sweeps(pool: Pool, healed: Callable[[int, int], None]) -> list[SweepRole]:
    """The three passes: live heads, ended heads, snapshots of an older fold."""
    return [
        SweepRole("sweep_live", pool, sweep.sweep_live, SWEEP_SECONDS, healed),
        SweepRole("sweep_ended", pool, sweep.sweep_ended, SWEEP_SECONDS, healed),
        SweepRole("refold", pool, sweep.refold, REFOLD_SECONDS, healed),
    ]


class DeadlineRole:
    """Pages through live executions and times out those whose deadline has passed."""

    name = "deadlines"

    def __init__(self, pool: Pool, appender: Appender) -> None:
        self._pool = pool
        self._appender = appender
        self._after: int = 0

    async def step(self) -> float:
        """One page; rest when it was the last."""
        async with checkout(self._pool) as connection:
            passed, following = await timers.overdue(connection, self._after, PAGE)
        await self._appender.submit_all(passed)
        metrics.due_served.labels("deadline").inc(len(passed))
        self._after = following or 0
        return DEADLINE_SECONDS if following is None else 0.0
