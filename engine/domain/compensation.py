"""How an execution ends: at once, or after its completed steps are undone, the last one first.

failure, time-out or cancelling ──▶ execution.cancelling ──▶ for each step: compensation.started,
command.issued ..., compensation.completed | failed ──▶ the one terminal event
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.domain.attempts import begin_attempt
from engine.domain.decision import Decision, Turn, decided
from engine.domain.execution import Slot, StepState
from engine.domain.vocabulary import TERMINAL_EVENTS, EventType, ExecutionStatus, StepStatus

Problem = dict[str, object]

_EVENTS = {status: kind for kind, status in TERMINAL_EVENTS.items()}


def end(turn: Turn, status: ExecutionStatus, problem: Problem) -> Decision:
    """End an execution that did not complete, after compensation where a completed step can be undone."""
    if next(_undoable(turn), None) is None:
        return Decision([decided(_EVENTS[status], None, {"error": problem})])
    return Decision([decided(EventType.EXECUTION_CANCELLING, None, {"outcome": status, "error": problem})])


def on_compensate(turn: Turn, _: str) -> Decision:
    """Undo the step, or the visit of it, that completed last; when none is left, write the terminal event."""
    last = max(_undoable(turn), default=None)
    if last is None:
        return _end_compensated(turn)
    name = last[1]
    decision = Decision([decided(EventType.COMPENSATION_STARTED, name)])
    decision += begin_attempt(turn, Slot(name, undoing=True))
    return decision


def on_undone(_: Turn, name: str) -> Decision:
    """A step is undone."""
    return Decision([decided(EventType.COMPENSATION_COMPLETED, name)])


def _undoable(turn: Turn) -> Iterator[tuple[int, str]]:
    """The steps to undo, each with the version at which it completed; on a cycle, that of the last visit."""
    for name, step in turn.state.steps.items():
        if step.done:
            yield step.done[-1].version, name
        elif _is_undoable(turn, name, step):
            yield step.settled, name


def _is_undoable(turn: Turn, name: str, step: StepState) -> bool:
    completed = step.status is StepStatus.COMPLETED and step.undone is None
    return completed and turn.step(name).compensate is not None


def _end_compensated(turn: Turn) -> Decision:
    ending = turn.state.ending
    if ending is None:
        raise LookupError("the execution is not being compensated")
    undone = {step.undone for step in turn.state.steps.values()}
    payload: dict[str, object] = {"compensation": "incomplete" if "failed" in undone else "complete"}
    if ending.error is not None:
        payload["error"] = turn.supply.value(ending.error)
    if ending.reason is not None:
        payload["reason"] = ending.reason
    return Decision([decided(_EVENTS[ending.status], None, payload)])
