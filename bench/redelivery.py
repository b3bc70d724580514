"""G2: batches that are all in the log already, against the same batches when they were new."""

from __future__ import annotations

from statistics import median

from bench.events import batches
from bench.figures import show
from bench.write_side import WriteSide, an_intake, lanes, produce, timed, write_side
from engine.write.desk import WRITERS


async def run(*, quick: bool) -> None:
    """Print events a second: new, sent again at once, and sent again to a process that has just started."""
    rounds, count = (3, 10) if quick else (7, 30)
    fresh: list[float] = []
    again: list[float] = []
    cold: list[float] = []
    async with write_side() as side:
        await _round(side, 4)
        for _ in range(rounds):
            for values, value in zip((fresh, again, cold), await _round(side, count), strict=True):
                values.append(value)
    show("redelivery.fresh", fresh, "events/s")
    show("redelivery", again, "events/s", ratio_to=median(fresh))
    show("redelivery.cold", cold, "events/s", ratio_to=median(fresh))


async def _round(side: WriteSide, count: int) -> tuple[float, float, float]:
    sent = [batches(count, lane % WRITERS) for lane in lanes()]
    events = sum(len(batch) for lane in sent for batch in lane)
    fresh = await timed([produce(side.intake.project, lane) for lane in sent])
    before = await side.content()
    again = await timed([produce(side.intake.project, lane, duplicates=True) for lane in sent])
    async with an_intake(side.url) as other:
        cold = await timed([produce(other.project, lane, duplicates=True) for lane in sent])
    if await side.content() != before:
        raise AssertionError("a repeated batch has changed the log or the outbox")
    return events / fresh, events / again, events / cold
