"""How an execution ends: at once, or after its completed steps are undone, the last one first.

failure, time-out or cancelling ──▶ execution.cancelling ──▶ for each step: compensation.started,
command.issued ..., compensation.completed | failed ──▶ the one terminal event
"""

from __future__ import annotations

from engine.domain.attempts import begin_attempt
from engine.domain.decision import Decision, Turn, decided
from engine.domain.execution import Slot
from engine.domain.vocabulary import TERMINAL_EVENTS, EventType, ExecutionStatus, StepStatus

Problem = dict[str, object]

_EVENTS = {status: kind for kind, status in TERMINAL_EVENTS.items()}


def end(turn: Turn, status: ExecutionStatus, problem: Problem) -> Decision:
    """End an execution that did not complete, after compensation where a completed step can be undone."""
    if next(iter(_undoable(turn)), None) is None:
        return Decision([decided(_EVENTS[status], None, {"error": problem})])
    return Decision([decided(EventType.EXECUTION_CANCELLING, None, {"outcome": status, "error": problem})])


def on_compensate(turn: Turn, _: str) -> Decision:
    """Undo the step that completed last; when none is left, write the terminal event."""
    steps = turn.state.steps
    left = _undoable(turn)
    if not left:
        return _end_compensated(turn)
    name = max(left, key=lambda each: steps[each].settled)
    decision = Decision([decided(EventType.COMPENSATION_STARTED, name)])
    decision += begin_attempt(turn, Slot(name, undoing=True))
    return decision


def on_undone(_: Turn, name: str) -> Decision:
    """A step is undone."""
    return Decision([decided(EventType.COMPENSATION_COMPLETED, name)])


def _undoable(turn: Turn) -> list[str]:
    return [
        name
        for name, step in turn.state.steps.items()
        if step.status is StepStatus.COMPLETED
        and step.undone is None
        and turn.step(name).compensate is not None
    ]


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
