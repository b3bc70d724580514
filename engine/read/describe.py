"""States and events as the JSON that readers see; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from engine.domain.carried import carried_value
from engine.domain.events import RecordedEvent, iso
from engine.domain.execution import Execution, MapState, StepState
from engine.domain.vocabulary import ACTIVE_STEPS, EventType, StepStatus
from engine.domain.waiting import Wait, What, waits_for

Json = dict[str, object]
Pools = Mapping[str, str | None]
"""The steps of a definition in their order, with the pool that a step names itself."""

MOST_WAITS = 100
"""So many things that are waited for are shown, those that have been waited for longest."""

ISSUED = frozenset({EventType.COMMAND_ISSUED, EventType.CHILD_STARTED, EventType.WAIT_OPENED})
SUCCEEDED = frozenset({EventType.COMMAND_COMPLETED, EventType.CHILD_COMPLETED, EventType.WAIT_SATISFIED})
WITHDRAWN = frozenset({EventType.COMMAND_CANCELLED, EventType.CONCURRENCY_REJECTED})
FAILED = frozenset(
    {EventType.COMMAND_FAILED, EventType.COMMAND_EXPIRED, EventType.WAIT_TIMED_OUT, *WITHDRAWN}
)
CLOSING = frozenset({EventType.STEP_FAILED, EventType.STEP_SKIPPED})
OUTCOMES = {
    EventType.COMMAND_COMPLETED: "completed",
    EventType.COMMAND_FAILED: "failed",
    EventType.COMMAND_EXPIRED: "expired",
    EventType.COMMAND_CANCELLED: "cancelled",
    EventType.CONCURRENCY_REJECTED: "rejected",
    EventType.CHILD_COMPLETED: "completed",
    EventType.WAIT_SATISFIED: "completed",
    EventType.WAIT_TIMED_OUT: "timed_out",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the pointers of a state mean."""

    inputs: object = None
    output: object = None
    error: object = None


def describe(state: Execution, values: Values, pools: Pools | None = None) -> Json:
    """An execution as the public API shows it; `pools` None: the definition is not known."""
    return {
        "execution_id": str(state.execution_id),
        "playbook": state.path,
        "playbook_version": state.playbook_version,
        "definition_hash": None if state.definition_hash is None else state.definition_hash.hex(),
        "status": state.status.value,
        "version": state.version,
        "inputs": values.inputs,
        "output": values.output,
        "error": values.error,
        "labels": state.labels,
        "key": state.key,
        "started_at": moment(state.started_at),
        "ended_at": moment(state.ended_at),
        "parent": _parent(state),
        "current_steps": [name for name, _ in _active(state)],
        "progress": progress(state, pools),
        "waiting_for": [_wait(wait) for wait in waits_for(state)[:MOST_WAITS]],
    }


def progress(state: Execution, pools: Pools | None) -> Json:
    """How many steps, and items of their maps, there are; `running` are the active ones of every kind."""
    statuses = [step.status for step in state.steps.values()]
    return {
        "total": len(state.steps) if pools is None else len(pools),
        "completed": statuses.count(StepStatus.COMPLETED),
        "failed": statuses.count(StepStatus.FAILED),
        "running": sum(status in ACTIVE_STEPS for status in statuses),
        "skipped": statuses.count(StepStatus.SKIPPED),
        "items": _items([step.map for step in state.steps.values() if step.map is not None]),
    }


def _items(maps: Sequence[MapState]) -> Json | None:
    """Where the items of maps stand; None without a map."""
    if not maps:
        return None
    return {
        "total": sum(each.total for each in maps),
        "completed": sum(each.successes for each in maps),
        "failed": sum(each.failures for each in maps),
        "open": sum(len(each.open) for each in maps),
        "left": sum(each.total - each.next for each in maps),
    }


def _wait(wait: Wait) -> Json:
    return {
        "what": wait.what.value,
        "step": wait.step,
        "item": wait.item,
        "undoing": wait.undoing,
        "attempt": wait.attempt,
        "since": moment(wait.since),
        "until": moment(wait.until),
        "not_before": moment(wait.not_before),
        "owner": wait.owner,
        "items": None if wait.items is None else asdict(wait.items),
    }


def claimed_from(state: Execution) -> set[str]:
    """The pools whose workers have the next move."""
    owners = (wait.owner for wait in waits_for(state) if wait.what is What.CLAIM)
    return {owner.removeprefix("pool:") for owner in owners if owner.startswith("pool:")}


def describe_steps(state: Execution, pools: Pools | None) -> list[Json]:
    """Every step in the order of the definition; what the definition does not name follows."""
    names = dict.fromkeys([*(pools or {}), *state.steps])
    return [_step(name, state.steps.get(name) or StepState()) for name in names]


def describe_attempts(
    events: Iterable[RecordedEvent], signals: Mapping[int, object], ended_at: datetime | None = None
) -> list[Json]:
    """The attempts of one step, oldest first, from the events that name it.

    `signals` are the values that its waits got, by the version of the signal. What was open when the
    execution ended, at `ended_at`, is cancelled; so is what a retry of the execution has begun anew.
    """
    attempts: list[Json] = []
    for event in events:
        if event.event_type in ISSUED:
            _cancel([each for each in attempts if each["item"] == event.item], iso(event.recorded_at))
            attempts.append(_issued(event, len(attempts) + 1))
            continue
        attempt = _attempt_of(attempts, event)
        if attempt is not None:
            _apply(attempt, event, signals)
    if ended_at is not None:
        _cancel(attempts, iso(ended_at))
    return attempts


def _cancel(attempts: Iterable[Json], ended_at: str) -> None:
    for attempt in attempts:
        if attempt["ended_at"] is None:
            attempt |= {"status": "cancelled", "ended_at": ended_at}


def signals_of(events: Sequence[RecordedEvent]) -> list[int]:
    """The versions of the signals that satisfied a step's waits."""
    payloads = [event.payload for event in events if event.event_type == EventType.WAIT_SATISFIED]
    return [payload["signal"] for payload in payloads if isinstance(payload, dict) and "signal" in payload]


def _issued(event: RecordedEvent, number: int) -> Json:
    return {
        "attempt": event.attempt or number,
        "item": event.item,
        "status": "queued" if event.event_type == EventType.COMMAND_ISSUED else "waiting",
        "command_id": None if event.command_id is None else str(event.command_id),
        "worker": None,
        "issued_at": iso(event.recorded_at),
        "started_at": None,
        "ended_at": None,
        "output": None,
        "error": None,
    }


def _attempt_of(attempts: Sequence[Json], event: RecordedEvent) -> Json | None:
    """The attempt that an event belongs to: by its command, else its item's newest; late events to none."""
    if event.command_id is None:
        return next((attempt for attempt in reversed(attempts) if attempt["item"] == event.item), None)
    command_id = str(event.command_id)
    return next((attempt for attempt in reversed(attempts) if attempt["command_id"] == command_id), None)


def _apply(attempt: Json, event: RecordedEvent, signals: Mapping[int, object]) -> None:
    said = {**_object(event.payload), **_object(event.meta)}
    kind = event.event_type
    if kind == EventType.COMMAND_CLAIMED:
        claimed_at = said.get("claimed_at")
        attempt |= {"status": "running", "worker": said.get("worker_id"), "started_at": claimed_at}
    elif kind in SUCCEEDED | FAILED:
        attempt |= {
            "status": _outcome(event, said),
            "ended_at": iso(event.recorded_at),
            "worker": said.get("worker_id") or attempt["worker"],
            "started_at": said.get("started_at") or attempt["started_at"],
        }
        value = carried_value(kind, event.payload)
        if kind == EventType.WAIT_SATISFIED:
            value = signals.get(said.get("signal", 0))
        attempt["output" if attempt["status"] == "completed" else "error"] = value
    elif kind in CLOSING and attempt["ended_at"] is None:
        attempt |= {"status": event.status.lower(), "ended_at": iso(event.recorded_at)}
        attempt["error"] = carried_value(kind, event.payload)


def _outcome(event: RecordedEvent, said: Mapping[str, object]) -> str:
    if event.event_type == EventType.CHILD_COMPLETED:
        return str(said.get("status"))
    return OUTCOMES[EventType(event.event_type)]


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _parent(state: Execution) -> Json | None:
    if state.parent is None:
        return None
    return {"execution_id": str(state.parent.execution_id), "step": state.parent.step}


def _active(state: Execution) -> list[tuple[str, StepState]]:
    active = [(name, step) for name, step in state.steps.items() if step.status in ACTIVE_STEPS]
    return sorted(active, key=lambda item: (moment(item[1].started_at) or "", item[0]))


def _step(name: str, step: StepState) -> Json:
    return {
        "step": name,
        "status": step.status.value,
        "attempts": step.attempt,
        "failures": step.failures,
        "lost": step.lost,
        "items": None if step.map is None else _items([step.map]),
        "skip_reason": step.skip_reason,
        "child": None if step.child_id is None else str(step.child_id),
        "started_at": moment(step.started_at),
        "ended_at": moment(step.ended_at),
    }


def moment(value: datetime | None) -> str | None:
    """A time as readers see it."""
    return None if value is None else iso(value)
