"""Whether an event may enter a stream now: recorded as it is, recorded as late, unchanged, or rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from engine.domain.decision import error
from engine.domain.effects import (
    EXECUTION_TIMER,
    CloseCommand,
    DropTimer,
    Effect,
    HoldCommands,
    ReleaseCommands,
)
from engine.domain.events import NewEvent, parse_iso
from engine.domain.execution import Execution, Unit
from engine.domain.handles import is_unconfirmed
from engine.domain.ids import derive_id, parse_id, settled_event_id
from engine.domain.reopening import refusals
from engine.domain.vocabulary import (
    EVENT_STATUS,
    EventType,
    ExecutionStatus,
    is_reserved,
    known_type,
)

MAILBOX_LIMIT = 1_000
MAILBOX_NAMES = 100
MAILBOX_SIGNALS = 2_000


class Verdict(StrEnum):
    """What became of an event that somebody sent."""

    RECORDED = "recorded"
    DUPLICATE = "duplicate"
    LATE = "late"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


class Origin(StrEnum):
    """Who sent an event: `outside` is a worker or another system, `engine` a function of ours."""

    OUTSIDE = "outside"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class CommandFact:
    """What the command table knows of a command: whose it is and which lease it has or had."""

    execution_id: int
    step: str
    attempt: int
    item: int | None
    lease_token: int | None
    leased_until: datetime | None = None
    deadline: datetime | None = None
    worker_id: str | None = None


class Admission(NamedTuple):
    """The verdict on one event; `event` is what to record, `effects` what goes with it."""

    verdict: Verdict
    event: NewEvent | None = None
    effects: tuple[Effect, ...] = ()
    code: str = ""
    detail: str = ""


RECORDED = Admission(Verdict.RECORDED)
UNCHANGED = Admission(Verdict.UNCHANGED)
DUPLICATE = Admission(Verdict.DUPLICATE)


def rejected(code: str, detail: str) -> Admission:
    """A rejection with a catalogued code and a sentence that names no value."""
    return Admission(Verdict.REJECTED, code=code, detail=detail)


NOT_OURS = rejected("not_allowed", "the execution belongs to another system")
UNKNOWN_COMMAND = rejected("unknown_command", "this execution never issued such a command")
COMPENSATING = rejected("compensating", "what the execution has done is being undone; it ends after that")
UNKNOWN_PAYLOAD = rejected("unknown_payload", "the payload it refers to is not stored for this execution")


def admit(
    state: Execution, event: NewEvent, origin: Origin, now: datetime, command: CommandFact | None = None
) -> Admission:
    """Judge one event of an execution of ours against its state under the head's lock.

    Pure; `command` is the row of its id.
    """
    if is_unconfirmed(event.payload):
        return UNKNOWN_PAYLOAD
    kind = known_type(event.event_type)
    if kind in {EventType.COMMAND_COMPLETED, EventType.COMMAND_FAILED}:
        return _settle(state, event, command)
    if kind is None:
        return _foreign_type(state, event)
    if kind is EventType.COMMAND_EXPIRED and origin is Origin.ENGINE:
        return _expire(state, event, command, now)
    if origin is Origin.OUTSIDE or kind not in ENGINE_RULES:
        return rejected("not_allowed", f"{kind} is written by the engine only")
    payload = event.payload if isinstance(event.payload, dict) else {}
    return ENGINE_RULES[kind](state, event, payload, now)


def admit_foreign(event: NewEvent, origin: Origin) -> Admission:
    """Judge one event of another system's execution, where nothing is decided: recorded, or rejected."""
    if origin is Origin.ENGINE:
        return NOT_OURS
    if event.event_id is None:
        return UNKNOWN_COMMAND
    return UNKNOWN_PAYLOAD if is_unconfirmed(event.payload) else RECORDED


def _foreign_type(state: Execution, event: NewEvent) -> Admission:
    if is_reserved(event.event_type):
        return rejected("not_allowed", f"{event.event_type} is a reserved event type")
    if state.is_ended:
        return rejected("terminal_execution", f"the execution is {state.phase}")
    return Admission(Verdict.RECORDED, event)


def _settle(state: Execution, event: NewEvent, command: CommandFact | None) -> Admission:
    if event.command_id is None or command is None or command.execution_id != state.execution_id:
        return UNKNOWN_COMMAND
    if command.lease_token is None or command.lease_token != event.lease_token:
        return rejected("stale_lease", "the lease token does not belong to the command")
    known = event._replace(step=command.step, attempt=command.attempt, item=command.item)
    if event.command_id in state.commands:
        settled = known._replace(event_id=settled_event_id(event.command_id))
        return Admission(Verdict.RECORDED, settled, (CloseCommand(event.command_id),))
    late = known._replace(
        event_type=EventType.COMMAND_LATE.value,
        status=EVENT_STATUS[EventType.COMMAND_LATE],
        event_id=derive_id("late", event.command_id, command.lease_token),
        payload={"event_type": event.event_type, "result": event.payload},
        encoded=None,
    )
    return Admission(Verdict.LATE, late)


def _start(state: Execution, event: NewEvent, _: dict[str, Any], __: datetime) -> Admission:
    return UNCHANGED if state.version else Admission(Verdict.RECORDED, event)


def _signal(state: Execution, event: NewEvent, payload: dict[str, Any], _: datetime) -> Admission:
    if state.is_ended:
        return rejected("terminal_execution", f"the execution is {state.phase}")
    if state.phase is ExecutionStatus.COMPENSATING:
        return COMPENSATING
    if len(state.mailbox.get(payload["name"], ())) >= MAILBOX_LIMIT:
        return rejected("mailbox_full", f"{MAILBOX_LIMIT} signals of this name wait already")
    if len(state.mailbox) >= MAILBOX_NAMES and payload["name"] not in state.mailbox:
        return rejected("mailbox_full", f"signals of {MAILBOX_NAMES} names wait already")
    if state.signals_kept >= MAILBOX_SIGNALS:
        return rejected("mailbox_full", f"{MAILBOX_SIGNALS} signals wait already")
    return Admission(Verdict.RECORDED, event)


def _cancel(state: Execution, event: NewEvent, _: dict[str, Any], __: datetime) -> Admission:
    if state.phase is ExecutionStatus.CANCELLED:
        return UNCHANGED
    if state.is_ended:
        return rejected("terminal_execution", f"the execution is {state.phase}")
    if state.ending is None:
        return Admission(Verdict.RECORDED, event)
    is_cancelled = state.ending.status is ExecutionStatus.CANCELLED
    repeated = is_cancelled and event.event_type == EventType.EXECUTION_CANCELLING
    return UNCHANGED if repeated else COMPENSATING


def _pause(state: Execution, event: NewEvent, _: dict[str, Any], __: datetime) -> Admission:
    refused = _not_steered(state)
    if refused is not None or state.paused:
        return refused or UNCHANGED
    return Admission(Verdict.RECORDED, event, (HoldCommands(state.execution_id),))


def _resume(state: Execution, event: NewEvent, _: dict[str, Any], __: datetime) -> Admission:
    refused = _not_steered(state)
    if refused is not None or not state.paused:
        return refused or UNCHANGED
    return Admission(Verdict.RECORDED, event, (ReleaseCommands(state.execution_id),))


def _not_steered(state: Execution) -> Admission | None:
    """Why an execution can be neither paused nor resumed: it has ended, or is on its way to that."""
    if state.is_ended:
        return rejected("terminal_execution", f"the execution is {state.phase}")
    return COMPENSATING if state.phase is ExecutionStatus.COMPENSATING else None


def _reopen(state: Execution, event: NewEvent, payload: dict[str, Any], _: datetime) -> Admission:
    refused = next(refusals(state, payload.get("step")), None)
    return Admission(Verdict.RECORDED, event) if refused is None else rejected(*refused)


def _timer(state: Execution, event: NewEvent, payload: dict[str, Any], now: datetime) -> Admission:
    key = payload["timer"]
    due_at = state.deadline if key == EXECUTION_TIMER else state.timers.get(key)
    if state.is_ended or due_at is None:
        return Admission(Verdict.UNCHANGED, effects=(DropTimer(state.execution_id, key),))
    if due_at > now:
        return UNCHANGED
    return Admission(Verdict.RECORDED, event, (DropTimer(state.execution_id, key),))


def _expire(state: Execution, event: NewEvent, command: CommandFact | None, now: datetime) -> Admission:
    if event.command_id is None or command is None or command.leased_until is None:
        return UNCHANGED
    if command.leased_until > now:
        return UNCHANGED
    closing = (CloseCommand(event.command_id),)
    if event.command_id not in state.commands:
        return Admission(Verdict.UNCHANGED, effects=closing)
    timed_out = command.deadline is not None and command.leased_until >= command.deadline
    code, reason = ("timeout", "timeout") if timed_out else ("worker_lost", "lost")
    detail = f"the worker of {command.step} stopped extending its lease"
    if timed_out:
        detail = f"the attempt of {command.step} took longer than its `timeout`"
    expired = event._replace(
        event_id=settled_event_id(event.command_id),
        step=command.step,
        attempt=command.attempt,
        item=command.item,
        payload={"reason": reason, "worker_id": command.worker_id, "error": error(code, detail)},
        encoded=None,
    )
    return Admission(Verdict.RECORDED, expired, closing)


def _claimed(state: Execution, event: NewEvent, payload: dict[str, Any], _: datetime) -> Admission:
    slot = state.commands.get(event.command_id or 0)
    if slot is None or not _is_newer(state.tried(slot), payload):
        return UNCHANGED
    return Admission(Verdict.RECORDED, event)


def _is_newer(unit: Unit, payload: dict[str, Any]) -> bool:
    """Whether nobody is known to have the command, or one who had it before it was handed back."""
    if not unit.claimed:
        return True
    claimed_at = parse_iso(payload["claimed_at"]) if "claimed_at" in payload else None
    return claimed_at is not None and unit.since is not None and claimed_at > unit.since


def _withdrawn(state: Execution, event: NewEvent, _: dict[str, Any], __: datetime) -> Admission:
    if event.command_id is None or event.command_id not in state.commands:
        return UNCHANGED
    return Admission(Verdict.RECORDED, event, (CloseCommand(event.command_id),))


def _child_ended(state: Execution, event: NewEvent, payload: dict[str, Any], _: datetime) -> Admission:
    if parse_id(payload["execution_id"]) not in state.children:
        return UNCHANGED
    return Admission(Verdict.RECORDED, event)


Rule = Callable[[Execution, NewEvent, dict[str, Any], datetime], Admission]

ENGINE_RULES: dict[EventType, Rule] = {
    EventType.EXECUTION_STARTED: _start,
    EventType.EXECUTION_CANCELLED: _cancel,
    EventType.EXECUTION_CANCELLING: _cancel,
    EventType.EXECUTION_PAUSED: _pause,
    EventType.EXECUTION_RESUMED: _resume,
    EventType.EXECUTION_REOPENED: _reopen,
    EventType.SIGNAL_RECEIVED: _signal,
    EventType.TIMER_FIRED: _timer,
    EventType.COMMAND_CLAIMED: _claimed,
    EventType.COMMAND_CANCELLED: _withdrawn,
    EventType.CONCURRENCY_REJECTED: _withdrawn,
    EventType.CHILD_COMPLETED: _child_ended,
}
