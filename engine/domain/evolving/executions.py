"""The execution as a whole: its beginning, pauses, compensation and its end."""

from __future__ import annotations

from engine.domain.events import RecordedEvent, parse_iso
from engine.domain.evolving.shared import Payload, cancel_open, close_unit, named, pointer
from engine.domain.execution import Due, Ending, Execution, Parent, Slot
from engine.domain.vocabulary import TERMINAL_EVENTS, EventType, ExecutionStatus


def started(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    state.phase = ExecutionStatus.RUNNING
    state.path = payload["playbook"]
    state.playbook_version = payload.get("playbook_version")
    state.pool = payload.get("pool", "default")
    state.priority = payload.get("priority", 0)
    state.labels = dict(payload.get("labels", {}))
    state.key = payload.get("key")
    parent = payload.get("parent")
    if parent is not None:
        state.parent = Parent(
            int(parent["execution_id"]), parent["step"], parent["depth"], parent.get("item")
        )
    state.started_at = event.recorded_at
    if "deadline" in payload:
        state.deadline = parse_iso(payload["deadline"])
    state.inputs = pointer(event)
    state.agenda.append(Due("started"))


def cancelling(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    error = pointer(event) if "error" in payload else None
    state.ending = Ending(ExecutionStatus(payload["outcome"]), error, payload.get("reason"))
    state.phase = ExecutionStatus.COMPENSATING
    state.paused = False
    state.paused_at = None
    state.deadline = None
    cancel_open(state, event)
    state.agenda.append(Due("compensate"))


def compensation_started(state: Execution, event: RecordedEvent, _: Payload) -> None:
    state.unit(Slot(named(event), undoing=True))


def compensation_ended(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    slot = Slot(named(event), undoing=True)
    close_unit(state, slot, state.unit(slot))
    step = state.step(slot.step)
    step.undo = None
    step.undone = "failed" if "error" in payload or step.undone == "failed" else "completed"
    if step.done:
        step.done.pop()
    state.agenda.append(Due("compensate"))


def ended(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    state.phase = TERMINAL_EVENTS[EventType(event.event_type)]
    state.ended_at = event.recorded_at
    state.reason = payload.get("reason")
    state.compensation = payload.get("compensation")
    state.paused = False
    state.paused_at = None
    state.ending = None
    if state.phase is ExecutionStatus.COMPLETED:
        state.output = pointer(event)
        state.mailbox.clear()
    elif "error" in payload:
        state.error = pointer(event)
    cancel_open(state, event)


def reopened(state: Execution, _: RecordedEvent, payload: Payload) -> None:
    state.phase = ExecutionStatus.RUNNING
    state.ended_at = state.error = state.reason = state.compensation = None
    state.deadline = parse_iso(payload["deadline"]) if "deadline" in payload else None
    state.agenda.append(Due("reopened"))


def paused(state: Execution, event: RecordedEvent, __: Payload) -> None:
    state.paused = True
    state.paused_at = event.recorded_at


def resumed(state: Execution, _: RecordedEvent, __: Payload) -> None:
    state.paused = False
    state.paused_at = None
