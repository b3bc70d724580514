"""G3: requests of one event at a time by 32 callers, in groups and with one transaction each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from statistics import median

from bench.events import BATCH_EXECUTIONS, new_executions, row
from bench.figures import show
from bench.write_side import WriteSide, produce, timed, write_side
from engine.write import tickets
from engine.write.desk import WRITERS

CALLERS = 32


async def run(*, quick: bool) -> None:
    """Print requests a second of both, in rounds that alternate."""
    rounds, count = (3, 40) if quick else (7, 150)
    grouped, alone = [], []
    async with write_side() as side:
        await _round(side, 10)
        for _ in range(rounds):
            grouped.append(await _round(side, count))
            with _one_transaction_each():
                alone.append(await _round(side, count))
    show("group_commit.alone", alone, "requests/s")
    show("group_commit", grouped, "requests/s", ratio_to=median(alone))


@contextlib.contextmanager
def _one_transaction_each() -> Iterator[None]:
    limit = tickets.GROUP_REQUESTS
    tickets.GROUP_REQUESTS = 1
    try:
        yield
    finally:
        tickets.GROUP_REQUESTS = limit


async def _round(side: WriteSide, count: int) -> float:
    """Each caller appends to an execution of its own, that is known, as fast as it is answered."""
    executions = [each for lane in range(WRITERS) for each in new_executions(BATCH_EXECUTIONS, lane)][
        :CALLERS
    ]
    await produce(side.intake.project, [[row(execution_id) for execution_id in executions]])
    sent = [[[row(execution_id)] for _ in range(count)] for execution_id in executions]
    before = await side.standing()
    seconds = await timed([produce(side.intake.project, lane) for lane in sent])
    after = await side.standing()
    if after.events - before.events != CALLERS * count:
        raise AssertionError(f"{CALLERS * count} events were expected")
    return CALLERS * count / seconds
