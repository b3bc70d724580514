"""What a live execution waits for: since when, until when at the latest, and who has the next move.

a step's status   what is open                owner of the next move
queued, retrying  a command, not claimed      pool:<name>, or operator while the execution is paused
running           a command in a worker's     pool:<name>
waiting           a child                     child:<execution_id>
retrying          a timer before a child      timer
waiting           a signal                    signal:<name>
waiting           a moment                    timer
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from engine.domain.execution import Execution, MapState, Slot, StepState, Unit
from engine.domain.vocabulary import ACTIVE_STEPS

LONG_AGO = datetime.min.replace(tzinfo=UTC)


class What(StrEnum):
    """What is waited for."""

    CLAIM = "claim"
    RESULT = "result"
    RETRY = "retry"
    CHILD = "child"
    SIGNAL = "signal"
    MOMENT = "moment"
    RESUME = "resume"
    EVENT = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """How far a map is: `open` items are being tried, `left` have not begun."""

    total: int
    completed: int
    failed: int
    open: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One thing that is waited for, and the `owner` of the next move.

    `until` is the first moment at which something happens by itself, `not_before` the one before which a
    command is not handed out. Without a `step` the execution as a whole waits. `undoing` is set for the call
    that compensates the step. A map is one wait: for the item that is open longest, with all in `items`.
    """

    what: What
    owner: str
    since: datetime | None
    until: datetime | None
    step: str | None = None
    item: int | None = None
    undoing: bool = False
    attempt: int | None = None
    not_before: datetime | None = None
    items: Items | None = None


def waits_for(state: Execution) -> list[Wait]:
    """Everything a live execution waits for, longest first; at most one for each step, and none once ended.

    While an execution is live and decided there is always one: an empty list means that nobody will ever move
    it on but its deadline.
    """
    if state.is_ended:
        return []
    if state.is_foreign:
        return [Wait(what=What.EVENT, owner="outside", since=state.recorded_at, until=None)]
    return sorted(_waits(state), key=lambda wait: (wait.since or LONG_AGO, wait.step or ""))


def _waits(state: Execution) -> Iterator[Wait]:
    if state.paused:
        yield Wait(what=What.RESUME, owner="operator", since=state.paused_at, until=state.deadline)
    for name, step in state.steps.items():
        wait = _of_step(state, name, step)
        if wait is not None:
            yield wait


def _of_step(state: Execution, name: str, step: StepState) -> Wait | None:
    if step.undo is not None:
        return _of_attempts(state, Slot(name, undoing=True), step.undo)
    if step.status not in ACTIVE_STEPS:
        return None
    if step.waiting is not None:
        signal = step.waiting.event
        return Wait(
            what=What.MOMENT if signal is None else What.SIGNAL,
            owner="timer" if signal is None else f"signal:{signal}",
            since=step.started_at,
            until=_first(step.waiting.until, _deadline(state, name)),
            step=name,
        )
    if step.map is not None:
        return _of_map(state, name, step, step.map)
    return _of_attempts(state, Slot(name), step)


def _of_map(state: Execution, name: str, step: StepState, found: MapState) -> Wait | None:
    if not found.open:
        return None
    began = step.started_at or LONG_AGO
    oldest = min(found.open, key=lambda item: (found.open[item].since or began, item))
    items = Items(
        total=found.total,
        completed=found.successes,
        failed=found.failures,
        open=len(found.open),
        left=found.total - found.next,
    )
    return _of_attempts(state, Slot(name, oldest), found.open[oldest], items)


def _of_attempts(state: Execution, slot: Slot, unit: Unit, items: Items | None = None) -> Wait | None:
    retry_at = state.timers.get(f"{slot}:retry")
    if unit.command_id is not None:
        what = What.RESULT if unit.claimed else What.CLAIM
        held = state.paused and not unit.claimed
        owner = "operator" if held else f"pool:{unit.pool or state.pool}"
    elif unit.child_id in state.children:
        what, owner = What.CHILD, f"child:{unit.child_id}"
    elif retry_at is not None:
        what, owner = What.RETRY, "timer"
    else:
        return None
    return Wait(
        what=what,
        owner=owner,
        since=unit.since or state.steps[slot.step].started_at,
        until=_first(unit.until, retry_at, _deadline(state, str(slot._replace(item=None)))),
        step=slot.step,
        item=slot.item,
        undoing=slot.undoing,
        attempt=unit.attempt,
        not_before=unit.not_before,
        items=items,
    )


def _deadline(state: Execution, key: str) -> datetime | None:
    return _first(state.timers.get(f"{key}:deadline"), state.deadline)


def _first(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
