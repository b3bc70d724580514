"""Steps: how they settle, and the maps they open."""

from __future__ import annotations

from engine.domain.events import RecordedEvent
from engine.domain.evolving.shared import Payload, begin_deadline, begin_visit, close_unit, named, pointer
from engine.domain.evolving.waits import close_wait
from engine.domain.execution import Done, Due, Execution, MapState, Pointer, Slot, StepState, Unit
from engine.domain.vocabulary import SETTLED_STEPS, StepStatus


def _settle(state: Execution, event: RecordedEvent, status: StepStatus, payload: Payload) -> StepState:
    name = named(event)
    begin_visit(state, name)
    step = state.move(name, status)
    step.settled = event.version
    step.ended_at = event.recorded_at
    step.started_at = step.started_at or event.recorded_at
    targets = payload.get("next")
    step.next = None if targets is None else tuple(targets)
    step.handled = payload.get("handled")
    if step.waiting is not None:
        close_wait(state, name)
    for slot, unit in _open_units(name, step):
        close_unit(state, slot, unit)
    if step.map is not None:
        step.map.drop()
    return step


def _open_units(name: str, step: StepState) -> list[tuple[Slot, Unit]]:
    items = {} if step.map is None else step.map.open
    return [(Slot(name), step), *((Slot(name, item), unit) for item, unit in items.items())]


def step_completed(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    step = _settle(state, event, StepStatus.COMPLETED, payload)
    if "kept_to_undo" in payload:
        read = {name: state.steps.get(name, StepState()).as_read() for name in payload["kept_to_undo"]}
        step.done.append(Done(event.version, step.visits, read))
    state.agenda.append(Due("settled", named(event)))


def step_failed(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    if event.item is not None:
        _give_up_item(state, Slot(named(event), event.item), pointer(event))
        return
    culprit = _culprit(state, named(event), payload)
    step = _settle(state, event, StepStatus.FAILED, payload)
    step.error = pointer(event)
    if step.map is not None and culprit is not None:
        step.map.blame(culprit)
    state.agenda.append(Due("settled" if step.handled else "failed", named(event)))


def _culprit(state: Execution, name: str, payload: Payload) -> int | None:
    """The item whose failure fails its step; it may not even have begun."""
    item, found = payload["error"].get("item"), state.step(name).map
    if found is None or not isinstance(item, int) or state.status_of(name) in SETTLED_STEPS:
        return None
    state.unit(Slot(name, item))
    return item


def _give_up_item(state: Execution, slot: Slot, error: Pointer) -> None:
    unit = state.unit(slot)
    close_unit(state, slot, unit)
    found = state.step(slot.step).map
    if found is not None and slot.item is not None:
        found.give_up(slot.item)
        found.error_bytes += error.bytes
    state.agenda.append(Due("map", slot.step))


def step_skipped(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    _settle(state, event, StepStatus.SKIPPED, payload).skip_reason = payload.get("reason")
    state.agenda.append(Due("settled", named(event)))


def map_opened(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    name = named(event)
    begin_visit(state, name)
    step = state.move(name, StepStatus.RUNNING)
    step.started_at = step.started_at or event.recorded_at
    step.map = MapState(items=pointer(event), total=payload["count"])
    begin_deadline(state, Slot(name), payload)
    state.agenda.append(Due("map", name))


def map_closed(state: Execution, event: RecordedEvent, _: Payload) -> None:
    step = state.step(named(event))
    if step.map is not None:
        step.output = Pointer(event.version, step.map.bytes)
    state.agenda.append(Due("succeeded", named(event)))
