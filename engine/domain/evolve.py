"""How each event changes the state: one small case an event type, nothing decided here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.domain.events import RecordedEvent
from engine.domain.evolving import attempts, executions, steps, waits
from engine.domain.evolving.shared import Payload
from engine.domain.execution import Execution
from engine.domain.vocabulary import (
    FOREIGN_TERMINAL_TYPES,
    EventType,
    ExecutionStatus,
    StepStatus,
    known_type,
)
from engine.errors import NewerEngine

FOREIGN_STEPS_KEPT = 1_000

FOREIGN_STEP_STATUS = {
    "COMPLETED": StepStatus.COMPLETED,
    "FAILED": StepStatus.FAILED,
    "SKIPPED": StepStatus.SKIPPED,
    "CANCELLED": StepStatus.CANCELLED,
}


class VersionGap(Exception):  # noqa: N818  # named as the fact it reports
    """The event is not the next one of its stream."""


def evolve(state: Execution, event: RecordedEvent) -> Execution:
    """Apply the next event in place and return the state.

    Raises `VersionGap` when the event's version is not the state's plus one, and `NewerEngine` for an
    event type that this build does not fold. After an exception the state must be thrown away.
    """
    if event.version != state.version + 1:
        raise VersionGap(f"{state.execution_id}: expected version {state.version + 1}, got {event.version}")
    if state.is_foreign:
        _foreign(state, event)
    else:
        _native(state, event)
    state.version = event.version
    state.last_event_id = event.event_id
    state.recorded_at = event.recorded_at
    return state


def fold(state: Execution, events: Iterable[RecordedEvent]) -> Execution:
    """Apply events in order; a fold of any prefix and then the rest equals a fold of the whole."""
    for event in events:
        evolve(state, event)
    return state


def _native(state: Execution, event: RecordedEvent) -> None:
    kind = known_type(event.event_type)
    if kind is None:
        return
    case = CASES.get(kind)
    if case is None:
        raise NewerEngine(f"this build does not fold {event.event_type}")
    payload = event.payload if isinstance(event.payload, dict) else {}
    case(state, event, payload)


def _foreign(state: Execution, event: RecordedEvent) -> None:
    if state.started_at is None:
        state.started_at = event.created_at
        state.phase = ExecutionStatus.RUNNING
    ended = FOREIGN_TERMINAL_TYPES.get(event.event_type)
    if ended is not None and not state.is_ended:
        state.phase = ended
        state.ended_at = event.recorded_at
    if event.step is None:
        return
    step = state.steps.get(event.step)
    if step is None and len(state.steps) < FOREIGN_STEPS_KEPT:
        step = state.step(event.step)
    if step is not None:
        step.status = FOREIGN_STEP_STATUS.get(event.status, StepStatus.RUNNING)


Case = Callable[[Execution, RecordedEvent, Payload], None]

CASES: dict[EventType, Case] = {
    EventType.EXECUTION_STARTED: executions.started,
    EventType.EXECUTION_COMPLETED: executions.ended,
    EventType.EXECUTION_FAILED: executions.ended,
    EventType.EXECUTION_CANCELLED: executions.ended,
    EventType.EXECUTION_TIMED_OUT: executions.ended,
    EventType.STEP_COMPLETED: steps.step_completed,
    EventType.STEP_FAILED: steps.step_failed,
    EventType.STEP_SKIPPED: steps.step_skipped,
    EventType.COMMAND_ISSUED: attempts.command_issued,
    EventType.COMMAND_CLAIMED: attempts.command_claimed,
    EventType.COMMAND_COMPLETED: attempts.command_completed,
    EventType.COMMAND_FAILED: attempts.command_failed,
    EventType.COMMAND_EXPIRED: attempts.command_expired,
    EventType.COMMAND_LATE: attempts.command_late,
    EventType.WAIT_OPENED: waits.wait_opened,
    EventType.WAIT_SATISFIED: waits.wait_satisfied,
    EventType.WAIT_TIMED_OUT: waits.wait_timed_out,
    EventType.SIGNAL_RECEIVED: waits.signal_received,
    EventType.TIMER_SET: waits.timer_set,
    EventType.TIMER_FIRED: waits.timer_fired,
    EventType.COMMAND_CANCELLED: attempts.command_withdrawn,
    EventType.CONCURRENCY_REJECTED: attempts.command_withdrawn,
    EventType.CHILD_STARTED: attempts.child_started,
    EventType.CHILD_COMPLETED: attempts.child_completed,
    EventType.MAP_OPENED: steps.map_opened,
    EventType.MAP_CLOSED: steps.map_closed,
    EventType.EXECUTION_CANCELLING: executions.cancelling,
    EventType.EXECUTION_REOPENED: executions.reopened,
    EventType.EXECUTION_PAUSED: executions.paused,
    EventType.EXECUTION_RESUMED: executions.resumed,
    EventType.COMPENSATION_STARTED: executions.compensation_started,
    EventType.COMPENSATION_COMPLETED: executions.compensation_ended,
    EventType.COMPENSATION_FAILED: executions.compensation_ended,
}
