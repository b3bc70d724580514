"""Attempts: commands and children, of steps, of the items of a map, and of what undoes a step."""

from __future__ import annotations

from engine.domain.events import RecordedEvent, parse_iso
from engine.domain.evolving.shared import (
    Payload,
    begin_attempt,
    fail_try,
    is_whole,
    named,
    pointer,
    slot_of,
    succeed,
)
from engine.domain.execution import Due, Execution, Slot, Unit
from engine.domain.ids import parse_id
from engine.domain.vocabulary import ExecutionStatus, StepStatus


def command_issued(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    slot = slot_of(event, payload)
    begin_attempt(state, event, slot, payload)
    unit = state.unit(slot)
    unit.command_id = event.command_id
    unit.idempotency_key = payload.get("idempotency_key")
    if event.command_id is not None:
        state.commands[event.command_id] = slot
    unit.not_before = parse_iso(payload["available_at"]) if "available_at" in payload else None
    pool = payload.get("pool")
    unit.pool = None if pool == state.pool else pool
    if is_whole(slot):
        state.move(slot.step, StepStatus.RETRYING if "available_at" in payload else StepStatus.QUEUED)


def command_claimed(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    slot = state.commands.get(event.command_id or 0)
    if slot is None:
        return
    unit = state.unit(slot)
    unit.claimed = True
    unit.since = parse_iso(payload["claimed_at"]) if "claimed_at" in payload else event.recorded_at
    unit.until = parse_iso(payload["deadline"]) if "deadline" in payload else None
    unit.not_before = None
    if is_whole(slot):
        state.move(slot.step, StepStatus.RUNNING)


def _close_command(state: Execution, event: RecordedEvent) -> tuple[Slot, Unit]:
    slot = state.commands.pop(event.command_id or 0, None) or Slot(named(event), event.item)
    unit = state.unit(slot)
    unit.close()
    return slot, unit


def command_completed(state: Execution, event: RecordedEvent, _: Payload) -> None:
    slot, unit = _close_command(state, event)
    succeed(state, slot, unit, event)


def command_failed(state: Execution, event: RecordedEvent, _: Payload) -> None:
    slot, unit = _close_command(state, event)
    fail_try(state, slot, unit, pointer(event))


def command_expired(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    slot, unit = _close_command(state, event)
    if payload.get("reason") == "lost":
        unit.error = pointer(event)
        unit.lost += 1
        state.agenda.append(Due("worker_lost", str(slot)))
    else:
        fail_try(state, slot, unit, pointer(event))


def command_withdrawn(state: Execution, event: RecordedEvent, _: Payload) -> None:
    """It got no permit of its concurrency key, or had to give it up."""
    slot, unit = _close_command(state, event)
    fail_try(state, slot, unit, pointer(event))


def command_late(_: Execution, __: RecordedEvent, ___: Payload) -> None:
    """Change nothing: a late result is only a record."""


def child_started(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    slot = slot_of(event, payload)
    begin_attempt(state, event, slot, payload)
    unit = state.unit(slot)
    unit.child_id = parse_id(payload["execution_id"])
    if unit.child_id is not None:
        state.children[unit.child_id] = slot
    if is_whole(slot):
        state.move(slot.step, StepStatus.WAITING)


def child_completed(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    slot = state.children.pop(parse_id(payload["execution_id"]) or 0, None) or Slot(named(event), event.item)
    unit = state.unit(slot)
    unit.close()
    if payload["status"] == ExecutionStatus.COMPLETED:
        succeed(state, slot, unit, event)
    else:
        fail_try(state, slot, unit, pointer(event))
