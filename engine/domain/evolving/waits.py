"""Waits, the signals they consume, and timers."""

from __future__ import annotations

from engine.domain.events import RecordedEvent, parse_iso
from engine.domain.evolving.shared import (
    Payload,
    begin_deadline,
    begin_round,
    begin_visit,
    is_whole,
    named,
    pointer,
)
from engine.domain.execution import Due, Execution, Slot, Waiting
from engine.domain.vocabulary import StepStatus


def wait_opened(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    name = named(event)
    begin_visit(state, name)
    step = state.move(name, StepStatus.WAITING)
    step.started_at = step.started_at or event.recorded_at
    until = parse_iso(payload["until"]) if "until" in payload else None
    step.waiting = Waiting(payload.get("event"), until, payload.get("times_out", False))
    if until is not None:
        state.timers[f"{name}:wait"] = until
    if step.waiting.event is not None:
        state.waits.setdefault(step.waiting.event, []).append(name)
        if step.waiting.event in state.mailbox:
            state.agenda.append(Due("signal", step.waiting.event))
    begin_deadline(state, Slot(name), payload)


def close_wait(state: Execution, name: str) -> str | None:
    """Stop waiting; returns the name of the signal that was waited for, if it was one."""
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


def wait_satisfied(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    name = named(event)
    signal = close_wait(state, name)
    if signal is not None:
        queue = state.mailbox[signal]
        state.step(name).output = next(pointer for pointer in queue if pointer.version == payload["signal"])
        queue[:] = [pointer for pointer in queue if pointer.version != payload["signal"]]
        if not queue:
            del state.mailbox[signal]
    state.agenda.append(Due("succeeded", name))


def wait_timed_out(state: Execution, event: RecordedEvent, _: Payload) -> None:
    close_wait(state, named(event))
    state.agenda.append(Due("wait_timed_out", named(event)))


def signal_received(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    state.mailbox.setdefault(payload["name"], []).append(pointer(event))
    state.agenda.append(Due("signal", payload["name"]))


def timer_fired(state: Execution, _: RecordedEvent, payload: Payload) -> None:
    state.timers.pop(payload["timer"], None)
    state.agenda.append(Due("timer", payload["timer"]))


def timer_set(state: Execution, event: RecordedEvent, payload: Payload) -> None:
    slot = Slot.parse(payload["timer"].rpartition(":")[0])
    begin_round(state, slot, payload)
    state.unit(slot).since = event.recorded_at
    if is_whole(slot):
        state.move(slot.step, StepStatus.RETRYING)
    state.timers[payload["timer"]] = parse_iso(payload["due_at"])
