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
from scheduler.each import append_each

SWEEP_SECONDS = 10.0
REFOLD_SECONDS = 60.0
DEADLINE_SECONDS = 30.0
PAGE = 1_000
REFOLD_PAGE_SECONDS = 0.1

_log = structlog.get_logger(__name__)

Pass = Callable[[Connection], Awaitable[Swept]]


class SweepRole:
    """Pages through executions with one of the passes of `engine.read.sweep` and advances what is behind.

    It rests `rest` seconds after the last page and `page_rest` between pages. `healed(execution_id, version)`
    is told the version that a snapshot has now.
    """

    def __init__(
        self,
        name: str,
        pool: Pool,
        one_page: Pass,
        healed: Callable[[int, int], None],
        *,
        rest: float,
        page_rest: float = 0.0,
    ) -> None:
        self.name = name
        self._pool = pool
        self._one_page = one_page
        self._healed = healed
        self._rest = rest
        self._page_rest = page_rest

    async def step(self) -> float:
        """One page, kept as done once it is healed."""
        async with checkout(self._pool) as connection:
            swept = await self._one_page(connection)
            if swept.execution_ids:
                await self._heal(connection, swept.execution_ids)
            await sweep.keep(connection, swept)
        return self._page_rest if swept.more else self._rest

    async def _heal(self, connection: Connection, execution_ids: list[int]) -> None:
        projected = await advance(connection, execution_ids)
        metrics.sweep_healed.labels(self.name).inc(len(projected.versions))
        _log.info("sweep.healed", sweep=self.name, executions=len(projected.versions))
        for execution_id, version in projected.versions.items():
            self._healed(execution_id, version)


def sweeps(pool: Pool, healed: Callable[[int, int], None]) -> list[SweepRole]:
    """The three passes: live heads, ended heads, snapshots of an older fold."""
    return [
        SweepRole("sweep_live", pool, sweep.sweep_live, healed, rest=SWEEP_SECONDS),
        SweepRole("sweep_ended", pool, sweep.sweep_ended, healed, rest=SWEEP_SECONDS),
        SweepRole("refold", pool, sweep.refold, healed, rest=REFOLD_SECONDS, page_rest=REFOLD_PAGE_SECONDS),
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
        # What fails comes again in the next round; it must not keep the pass at this page.
        self._after = following or 0
        await append_each(self._appender, "deadline", passed)
        return DEADLINE_SECONDS if following is None else 0.0
