"""What an item of a map and a round of a repeat cost: in a long one against short ones, as many in all."""

from __future__ import annotations

import gc
import itertools
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median

from bench.figures import show
from bench.map_store import Store, store
from engine.domain.advance import Progress, advance, record
from engine.domain.effects import IssueCommand
from engine.domain.events import NewEvent
from engine.domain.execution import initial
from engine.domain.scope import Lacking, Supply
from engine.domain.vocabulary import EVENT_STATUS, EventType, ExecutionStatus
from engine.language import parse
from engine.write.ids import BLOCK

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
MAP = """
playbook: bench/{pool}
pool: {pool}
inputs: {{items: {{type: array}}}}
steps:
  - name: each
    tool: noop
    map: {{items: "${{ inputs.items }}", max_in_flight: 100}}
    with: {{of: "${{ item.id }}"}}
"""
REPEAT = """
playbook: bench/{pool}
pool: {pool}
inputs: {{rounds: {{type: integer}}}}
steps:
  - name: poll
    tool: python
    repeat: {{max: 100000, until: "output >= inputs.rounds"}}
    with: {{call: "bench:poll", args: {{round: "${{ iteration }}"}}}}
"""
LONG, SHORT = "long", "short"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is repeated: `batch` results are settled at a time, in `long` and in `short` executions."""

    name: str
    source: str
    batch: int
    long: int
    short: int

    def inputs(self, length: int) -> dict[str, object]:
        """What an execution of that length is started with."""
        if self.name == "repeat":
            return {"rounds": length}
        return {"items": [{"id": number} for number in range(length)]}


async def run(*, quick: bool) -> None:
    """Print microseconds an item or round, and the ratio of a long execution's to a short one's.

    Long and short take turns, `short` items each: what the machine does meanwhile slows both.
    """
    cases = (
        Case(name="map", source=MAP, batch=100, long=3_000 if quick else 10_000, short=100),
        Case(name="repeat", source=REPEAT, batch=1, long=1_000 if quick else 5_000, short=50),
    )
    for case in cases:
        pairs = [_decided(case) for _ in range(3 if quick else 5)]
        _show(case, "decide", case.long, [long for long, _ in pairs], [short for _, short in pairs])
        async with store([case.source.format(pool=pool) for pool in (LONG, SHORT)]) as opened:
            await _stored(opened, case)


def _show(case: Case, what: str, items: int, long: Sequence[float], short: Sequence[float]) -> None:
    """Microseconds an item, from seconds for so many."""
    usual = [seconds * 1e6 / items for seconds in short]
    show(f"{case.name}.{what}.short", usual, "us/item")
    grown = [seconds * 1e6 / items for seconds in long]
    show(f"{case.name}.{what}.long", grown, "us/item", ratio_to=median(usual))


@dataclass(slots=True)
class _Pure:
    """One execution, decided and folded without any database."""

    case: Case
    length: int
    open: deque[int] = field(default_factory=deque)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    done: int = 0

    def seconds(self) -> float:
        """Run it to its end and return how long that took."""
        definition = parse(self.case.source.format(pool=LONG).encode()).definition
        state, values, ids = initial(1, definition.hash), dict[int, object](), deque[int]()
        started = {"playbook": definition.path, "inputs": self.case.inputs(self.length)}
        events = [NewEvent(event_type="execution.started", status="RUNNING", payload=started)]
        began = time.perf_counter()
        while events:
            supply, progress = Supply(now=BEGINNING, values=values, ids=ids), Progress()
            for event in events:
                record(state, event, supply, progress)
                while True:
                    try:
                        advance(state, definition, supply, progress)
                        break
                    except Lacking as lacking:
                        ids.extend(next(self.ids) for _ in range(max(BLOCK, lacking.ids)))
            self.open.extend(each.command_id for each in progress.effects if isinstance(each, IssueCommand))
            events = [self._settled() for _ in range(min(self.case.batch, len(self.open)))]
        seconds = time.perf_counter() - began
        if state.phase is not ExecutionStatus.COMPLETED or self.done != self.length:
            raise AssertionError(f"{self.case.name}: {self.done} of {self.length}, {state.phase}")
        return seconds

    def _settled(self) -> NewEvent:
        self.done += 1
        kind = EventType.COMMAND_COMPLETED
        payload = {"status": EVENT_STATUS[kind], "data": self.done}
        return NewEvent(
            event_type=kind,
            status=EVENT_STATUS[kind],
            payload=payload,
            step="each",
            item=None,
            command_id=self.open.popleft(),
        )


def _decided(case: Case) -> tuple[float, float]:
    gc.collect()
    short = sum(_Pure(case, case.short).seconds() for _ in range(case.long // case.short))
    return _Pure(case, case.long).seconds(), short


async def _stored(opened: Store, case: Case) -> None:
    """Append, and then project: a part of the long one, a short one, and so on.

    A short one counts with its start, which issues what a part of the long one issues for the next.
    """
    grown, _ = await opened.start(LONG, case.inputs(case.long))
    fresh: list[int] = []
    long, short = list[float](), list[float]()
    for part in range(case.long // case.short):
        long.append(await opened.work(LONG, case.batch, case.short, part * case.short))
        execution_id, seconds = await opened.start(SHORT, case.inputs(case.short))
        fresh.append(execution_id)
        short.append(seconds + await opened.work(SHORT, case.batch, case.short, 0))
    await opened.check(grown, case.long)
    for execution_id in fresh:
        await opened.check(execution_id, case.short)
    _show(case, "append", case.short, long, short)
    messages = case.short // case.batch
    of_long = opened.projecting(grown, messages)
    long, short = [], []
    for execution_id in fresh:
        long.append(await anext(of_long))
        short.append(sum([seconds async for seconds in opened.projecting(execution_id, messages)]))
    async for _ in of_long:
        pass
    largest = max([await opened.check_snapshot(execution_id) for execution_id in (grown, *fresh)])
    _show(case, "project", case.short, long, short)
    show(f"{case.name}.snapshot", [largest], "bytes")
