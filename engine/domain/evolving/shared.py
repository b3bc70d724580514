"""What all cases share: pointers into the log, attempts that begin and end, things that are closed."""

from __future__ import annotations

from typing import Any

import orjson

from engine.domain.carried import carried_value
from engine.domain.effects import STEP_TIMERS
from engine.domain.events import RecordedEvent, parse_iso
from engine.domain.execution import Due, Execution, Pointer, Slot, StepState, Unit
from engine.domain.handles import bytes_apart
from engine.domain.vocabulary import ACTIVE_STEPS, SETTLED_STEPS, StepStatus

Payload = dict[str, Any]


def pointer(event: RecordedEvent) -> Pointer:
    """Where the value of this event lies."""
    value = carried_value(event.event_type, event.payload)
    return Pointer(event.version, 0 if value is None else len(orjson.dumps(value)))


def named(event: RecordedEvent) -> str:
    """The step that the event names; raises `ValueError` when it names none."""
    if event.step is None:
        raise ValueError(f"{event.event_type} at version {event.version} names no step")
    return event.step


def slot_of(event: RecordedEvent, payload: Payload) -> Slot:
    """What the event's attempt is made for."""
    return Slot(named(event), event.item, bool(payload.get("undoing")))


def is_whole(slot: Slot) -> bool:
    """Whether the step's own status follows what becomes of the slot."""
    return slot.item is None and not slot.undoing


def begin_visit(state: Execution, name: str) -> StepState:
    """The step that begins; one that has settled before is on a cycle and begins anew."""
    if state.status_of(name) in SETTLED_STEPS:
        state.revisit(name)
    return state.step(name)


def begin_attempt(state: Execution, event: RecordedEvent, slot: Slot, payload: Payload) -> None:
    """Count an attempt that begins."""
    if is_whole(slot):
        begin_visit(state, slot.step)
    unit = state.unit(slot)
    unit.attempt = event.attempt or 1
    begin_round(state, slot, payload)
    step = state.step(slot.step)
    step.started_at = step.started_at or event.recorded_at
    unit.since = None if step.started_at == event.recorded_at else event.recorded_at
    begin_deadline(state, slot, payload)


def begin_round(state: Execution, slot: Slot, payload: Payload) -> None:
    """A new round of a `repeat` has all its tries before it."""
    unit = state.unit(slot)
    iteration = payload.get("iteration", 0)
    if iteration > unit.iteration:
        unit.iteration, unit.failures, unit.lost, unit.idempotency_key = iteration, 0, 0, None


def begin_deadline(state: Execution, slot: Slot, payload: Payload) -> None:
    """Note the deadline that the first attempt of a slot sets for all of them."""
    if "step_deadline" in payload:
        state.timers[f"{slot}:deadline"] = parse_iso(payload["step_deadline"])


def succeed(state: Execution, slot: Slot, unit: Unit, event: RecordedEvent) -> None:
    """An attempt has succeeded: of a step, of an item or of an undoing."""
    unit.lost = 0
    step = state.step(slot.step)
    if slot.undoing:
        state.agenda.append(Due("undone", slot.step))
    elif slot.item is None or step.map is None:
        step.output = pointer(event)
        state.agenda.append(Due("succeeded", slot.step))
    else:
        del step.map.open[slot.item]
        step.map.bytes += pointer(event).bytes
        step.map.apart += bytes_apart(event.event_type, event.payload)
        state.agenda.append(Due("map", slot.step))


def fail_try(state: Execution, slot: Slot, unit: Unit, error: Pointer) -> None:
    """An attempt has used up a try; whether there is another is to be decided."""
    unit.error = error
    unit.failures += 1
    unit.lost = 0
    state.agenda.append(Due("attempt_failed", str(slot)))


def close_unit(state: Execution, slot: Slot, unit: Unit) -> None:
    """Nothing of these attempts is open any more."""
    unit.idempotency_key = None
    for what in STEP_TIMERS:
        state.timers.pop(f"{slot}:{what}", None)
    if unit.command_id is not None:
        state.commands.pop(unit.command_id, None)
    if unit.child_id is not None:
        state.children.pop(unit.child_id, None)
    unit.close()


def cancel_open(state: Execution, event: RecordedEvent) -> None:
    """Nothing is left to be done: what was open is cancelled. Signals are kept for a retry."""
    for name, step in state.steps.items():
        if step.status in ACTIVE_STEPS:
            state.move(name, StepStatus.CANCELLED)
            step.ended_at = event.recorded_at
            step.close()
            step.waiting = None
            if step.map is not None:
                step.map.drop()
    for open_things in (state.commands, state.children, state.waits, state.timers):
        open_things.clear()
    state.agenda.clear()
