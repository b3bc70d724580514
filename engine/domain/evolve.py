"""How each event changes the state: one small case an event type, nothing decided here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from engine.domain.effects import STEP_TIMERS
from engine.domain.events import RecordedEvent, parse_iso
from engine.domain.execution import Due, Execution, Parent, Pointer, StepState, Waiting
from engine.domain.ids import parse_id
from engine.domain.vocabulary import (
    ACTIVE_STEPS,
    FOREIGN_TERMINAL_TYPES,
    TERMINAL_EVENTS,
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


def carried_value(event_type: str, payload: object) -> object:
    """The value that a pointer to such an event means: an output, an error, inputs or a signal."""
    if not isinstance(payload, Mapping):
        return payload
    match event_type:
        case EventType.EXECUTION_STARTED:
            return payload.get("inputs")
        case EventType.EXECUTION_COMPLETED | EventType.CHILD_COMPLETED if "output" in payload:
            return payload["output"]
        case EventType.COMMAND_COMPLETED if "reference" in payload:
            return {"reference": payload["reference"]}
        case EventType.COMMAND_COMPLETED | EventType.COMMAND_FAILED | EventType.SIGNAL_RECEIVED:
            return payload.get("data")
        case _:
            return payload.get("error")


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


def _pointer(event: RecordedEvent) -> Pointer:
    value = carried_value(event.event_type, event.payload)
    return Pointer(event.version, 0 if value is None else len(orjson.dumps(value)))


def _named(event: RecordedEvent) -> str:
    if event.step is None:
        raise ValueError(f"{event.event_type} at version {event.version} names no step")
    return event.step


def _started(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    state.phase = ExecutionStatus.RUNNING
    state.path = payload["playbook"]
    state.playbook_version = payload.get("playbook_version")
    state.pool = payload.get("pool", "default")
    state.priority = payload.get("priority", 0)
    state.labels = dict(payload.get("labels", {}))
    state.key = payload.get("key")
    parent = payload.get("parent")
    if parent is not None:
        state.parent = Parent(int(parent["execution_id"]), parent["step"], parent["depth"])
    state.started_at = event.recorded_at
    if "deadline" in payload:
        state.deadline = parse_iso(payload["deadline"])
    state.inputs = _pointer(event)
    state.agenda.append(Due("started"))


def _command_issued(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    name = _named(event)
    step = state.move(name, StepStatus.RETRYING if "available_at" in payload else StepStatus.QUEUED)
    step.started_at = step.started_at or event.recorded_at
    step.attempt = event.attempt or 1
    step.command_id = event.command_id
    if event.command_id is not None:
        state.commands[event.command_id] = name
    _begin_deadline(state, name, payload)


def _begin_deadline(state: Execution, name: str, payload: dict[str, Any]) -> None:
    if "step_deadline" in payload:
        state.timers[f"{name}:deadline"] = parse_iso(payload["step_deadline"])


def _command_claimed(state: Execution, event: RecordedEvent, _: dict[str, Any]) -> None:
    if event.command_id in state.commands:
        state.move(_named(event), StepStatus.RUNNING)


def _close_command(state: Execution, event: RecordedEvent) -> StepState:
    step = state.step(_named(event))
    if event.command_id is not None:
        state.commands.pop(event.command_id, None)
    step.command_id = None
    return step


def _command_completed(state: Execution, event: RecordedEvent, _: dict[str, Any]) -> None:
    step = _close_command(state, event)
    step.output = _pointer(event)
    step.lost = 0
    state.agenda.append(Due("succeeded", _named(event)))


def _command_failed(state: Execution, event: RecordedEvent, _: dict[str, Any]) -> None:
    step = _close_command(state, event)
    step.error = _pointer(event)
    step.failures += 1
    step.lost = 0
    state.agenda.append(Due("attempt_failed", _named(event)))


def _command_expired(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    step = _close_command(state, event)
    step.error = _pointer(event)
    if payload.get("reason") == "lost":
        step.lost += 1
        state.agenda.append(Due("worker_lost", _named(event)))
    else:
        step.failures += 1
        step.lost = 0
        state.agenda.append(Due("attempt_failed", _named(event)))


def _command_late(_: Execution, __: RecordedEvent, ___: dict[str, Any]) -> None:
    """Change nothing: a late result is only a record."""


def _settle(state: Execution, event: RecordedEvent, status: StepStatus, payload: dict[str, Any]) -> None:
    name = _named(event)
    step = state.move(name, status)
    step.ended_at = event.recorded_at
    step.started_at = step.started_at or event.recorded_at
    targets = payload.get("next")
    step.next = None if targets is None else tuple(targets)
    for what in STEP_TIMERS:
        state.timers.pop(f"{name}:{what}", None)
    if step.waiting is not None:
        _close_wait(state, name)
    if step.command_id is not None:
        state.commands.pop(step.command_id, None)
        step.command_id = None
    if step.child_id is not None:
        state.children.pop(step.child_id, None)


def _step_completed(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    _settle(state, event, StepStatus.COMPLETED, payload)
    state.agenda.append(Due("settled", _named(event)))


def _step_failed(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    _settle(state, event, StepStatus.FAILED, payload)
    state.step(_named(event)).error = _pointer(event)
    state.agenda.append(Due("failed", _named(event)))


def _step_skipped(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    _settle(state, event, StepStatus.SKIPPED, payload)
    state.step(_named(event)).skip_reason = payload.get("reason")
    state.agenda.append(Due("settled", _named(event)))


def _wait_opened(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    name = _named(event)
    step = state.move(name, StepStatus.WAITING)
    step.started_at = step.started_at or event.recorded_at
    until = parse_iso(payload["until"]) if "until" in payload else None
    step.waiting = Waiting(payload.get("event"), until)
    if until is not None:
        state.timers[f"{name}:wait"] = until
    if step.waiting.event is not None:
        state.waits.setdefault(step.waiting.event, []).append(name)
        if step.waiting.event in state.mailbox:
            state.agenda.append(Due("signal", step.waiting.event))
    _begin_deadline(state, name, payload)


def _close_wait(state: Execution, name: str) -> str | None:
    step = state.step(name)
    signal = step.waiting.event if step.waiting is not None else None
    step.waiting = None
    state.timers.pop(f"{name}:wait", None)
    if signal is not None:
        waiters = state.waits[signal]
        waiters.remove(name)
        if not waiters:
            del state.waits[signal]
    return signal


def _wait_satisfied(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    name = _named(event)
    signal = _close_wait(state, name)
    if signal is not None:
        queue = state.mailbox[signal]
        state.step(name).output = next(pointer for pointer in queue if pointer.version == payload["signal"])
        queue[:] = [pointer for pointer in queue if pointer.version != payload["signal"]]
        if not queue:
            del state.mailbox[signal]
    state.agenda.append(Due("succeeded", name))


def _wait_timed_out(state: Execution, event: RecordedEvent, _: dict[str, Any]) -> None:
    _close_wait(state, _named(event))
    state.agenda.append(Due("wait_timed_out", _named(event)))


def _signal_received(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    state.mailbox.setdefault(payload["name"], []).append(_pointer(event))
    state.agenda.append(Due("signal", payload["name"]))


def _timer_fired(state: Execution, _: RecordedEvent, payload: dict[str, Any]) -> None:
    state.timers.pop(payload["timer"], None)
    state.agenda.append(Due("timer", payload["timer"]))


def _timer_set(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    state.move(_named(event), StepStatus.RETRYING)
    state.timers[payload["timer"]] = parse_iso(payload["due_at"])


def _child_started(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    name = _named(event)
    step = state.move(name, StepStatus.WAITING)
    step.started_at = step.started_at or event.recorded_at
    step.attempt = event.attempt or 1
    step.child_id = parse_id(payload["execution_id"])
    if step.child_id is not None:
        state.children[step.child_id] = name
    _begin_deadline(state, name, payload)


def _child_completed(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    name = _named(event)
    step = state.step(name)
    child_id = parse_id(payload["execution_id"])
    if child_id is not None:
        state.children.pop(child_id, None)
    if payload["status"] == ExecutionStatus.COMPLETED:
        step.output = _pointer(event)
        state.agenda.append(Due("succeeded", name))
    else:
        step.error = _pointer(event)
        step.failures += 1
        state.agenda.append(Due("attempt_failed", name))


def _ended(state: Execution, event: RecordedEvent, payload: dict[str, Any]) -> None:
    state.phase = TERMINAL_EVENTS[EventType(event.event_type)]
    state.ended_at = event.recorded_at
    state.reason = payload.get("reason")
    if state.phase is ExecutionStatus.COMPLETED:
        state.output = _pointer(event)
    elif "error" in payload:
        state.error = _pointer(event)
    for name, step in state.steps.items():
        if step.status in ACTIVE_STEPS:
            state.move(name, StepStatus.CANCELLED)
            step.ended_at = event.recorded_at
            step.command_id = None
            step.waiting = None
    for open_things in (state.commands, state.children, state.waits, state.mailbox, state.timers):
        open_things.clear()
    state.agenda.clear()


Case = Callable[[Execution, RecordedEvent, dict[str, Any]], None]

CASES: dict[EventType, Case] = {
    EventType.EXECUTION_STARTED: _started,
    EventType.EXECUTION_COMPLETED: _ended,
    EventType.EXECUTION_FAILED: _ended,
    EventType.EXECUTION_CANCELLED: _ended,
    EventType.EXECUTION_TIMED_OUT: _ended,
    EventType.STEP_COMPLETED: _step_completed,
    EventType.STEP_FAILED: _step_failed,
    EventType.STEP_SKIPPED: _step_skipped,
    EventType.COMMAND_ISSUED: _command_issued,
    EventType.COMMAND_CLAIMED: _command_claimed,
    EventType.COMMAND_COMPLETED: _command_completed,
    EventType.COMMAND_FAILED: _command_failed,
    EventType.COMMAND_EXPIRED: _command_expired,
    EventType.COMMAND_LATE: _command_late,
    EventType.WAIT_OPENED: _wait_opened,
    EventType.WAIT_SATISFIED: _wait_satisfied,
    EventType.WAIT_TIMED_OUT: _wait_timed_out,
    EventType.SIGNAL_RECEIVED: _signal_received,
    EventType.TIMER_SET: _timer_set,
    EventType.TIMER_FIRED: _timer_fired,
    EventType.CHILD_STARTED: _child_started,
    EventType.CHILD_COMPLETED: _child_completed,
}
