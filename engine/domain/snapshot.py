"""The state as JSON and back, its hash, and the version of the fold that made it."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Any

import orjson

from engine.domain.events import iso, parse_iso
from engine.domain.execution import (
    Done,
    Ending,
    Execution,
    MapState,
    Parent,
    Pointer,
    Slot,
    StepState,
    Unit,
    Waiting,
)
from engine.domain.vocabulary import ExecutionStatus, StepStatus

FOLD_VERSION = 1
"""Raise it whenever `evolve` or this format changes: older snapshots are then folded anew."""


def dump(state: Execution) -> dict[str, Any]:
    """The state as a JSON object; absent, zero and empty things are left out."""
    return _compact(
        {
            "execution_id": str(state.execution_id),
            "definition_hash": None if state.definition_hash is None else state.definition_hash.hex(),
            "version": state.version,
            "last_event_id": str(state.last_event_id),
            "recorded_at": _time(state.recorded_at),
            "phase": state.phase.value,
            "playbook": state.path,
            "playbook_version": state.playbook_version,
            "parent": _parent(state.parent),
            "pool": state.pool,
            "priority": state.priority,
            "labels": state.labels,
            "key": state.key,
            "deadline": _time(state.deadline),
            "started_at": _time(state.started_at),
            "ended_at": _time(state.ended_at),
            "inputs": _pair(state.inputs),
            "output": _pair(state.output),
            "error": _pair(state.error),
            "reason": state.reason,
            "steps": {name: _step(step) for name, step in state.steps.items()},
            "commands": {str(command_id): str(slot) for command_id, slot in state.commands.items()},
            "children": {str(child_id): str(slot) for child_id, slot in state.children.items()},
            "waits": state.waits,
            "mailbox": {name: [list(at) for at in queue] for name, queue in state.mailbox.items()},
            "timers": {key: iso(due) for key, due in state.timers.items()},
            "active": state.active,
            "waiting": state.waiting,
            "paused": state.paused,
            "paused_at": _time(state.paused_at),
            "ending": _ending(state.ending),
            "compensation": state.compensation,
        }
    )


def load(stored: dict[str, Any]) -> Execution:
    """The inverse of `dump`; raises KeyError or ValueError for anything else."""
    definition_hash = stored.get("definition_hash")
    return Execution(
        execution_id=int(stored["execution_id"]),
        definition_hash=None if definition_hash is None else bytes.fromhex(definition_hash),
        version=stored["version"],
        last_event_id=int(stored.get("last_event_id", 0)),
        recorded_at=_moment(stored.get("recorded_at")),
        phase=ExecutionStatus(stored["phase"]),
        path=stored.get("playbook"),
        playbook_version=stored.get("playbook_version"),
        parent=_load_parent(stored.get("parent")),
        pool=stored["pool"],
        priority=stored.get("priority", 0),
        labels=stored.get("labels", {}),
        key=stored.get("key"),
        deadline=_moment(stored.get("deadline")),
        started_at=_moment(stored.get("started_at")),
        ended_at=_moment(stored.get("ended_at")),
        inputs=_load_pointer(stored.get("inputs")),
        output=_load_pointer(stored.get("output")),
        error=_load_pointer(stored.get("error")),
        reason=stored.get("reason"),
        steps={name: _load_step(step) for name, step in stored.get("steps", {}).items()},
        commands={int(key): Slot.parse(slot) for key, slot in stored.get("commands", {}).items()},
        children={int(key): Slot.parse(slot) for key, slot in stored.get("children", {}).items()},
        waits=stored.get("waits", {}),
        mailbox={
            name: [Pointer(*item) for item in items] for name, items in stored.get("mailbox", {}).items()
        },
        timers={key: parse_iso(due) for key, due in stored.get("timers", {}).items()},
        active=stored.get("active", 0),
        waiting=stored.get("waiting", 0),
        paused=stored.get("paused", False),
        paused_at=_moment(stored.get("paused_at")),
        ending=_load_ending(stored.get("ending")),
        compensation=stored.get("compensation"),
    )


def encode(state: Execution) -> bytes:
    """The dumped state as canonical JSON bytes."""
    return orjson.dumps(dump(state), option=orjson.OPT_SORT_KEYS)


def state_hash(encoded: bytes) -> bytes:
    """16 bytes that equal those of a fresh fold exactly when nothing has drifted."""
    return blake2b(encoded, digest_size=16).digest()


def _compact(stored: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stored.items() if value or key in {"phase", "version"}}


def _unit(unit: Unit) -> dict[str, Any]:
    return {
        "attempt": unit.attempt,
        "failures": unit.failures,
        "lost": unit.lost,
        "iteration": unit.iteration,
        "command_id": None if unit.command_id is None else str(unit.command_id),
        "child_id": None if unit.child_id is None else str(unit.child_id),
        "claimed": unit.claimed,
        "error": _pair(unit.error),
        "idempotency_key": unit.idempotency_key,
        "since": _time(unit.since),
        "not_before": _time(unit.not_before),
        "until": _time(unit.until),
        "pool": unit.pool,
    }


def _load_unit(stored: dict[str, Any]) -> dict[str, Any]:
    return {
        "attempt": stored.get("attempt", 0),
        "failures": stored.get("failures", 0),
        "lost": stored.get("lost", 0),
        "iteration": stored.get("iteration", 0),
        "command_id": None if "command_id" not in stored else int(stored["command_id"]),
        "child_id": None if "child_id" not in stored else int(stored["child_id"]),
        "claimed": stored.get("claimed", False),
        "error": _load_pointer(stored.get("error")),
        "idempotency_key": stored.get("idempotency_key"),
        "since": _moment(stored.get("since")),
        "not_before": _moment(stored.get("not_before")),
        "until": _moment(stored.get("until")),
        "pool": stored.get("pool"),
    }


def _step(step: StepState) -> dict[str, Any]:
    return _compact(
        {
            **_unit(step),
            "status": step.status.value,
            "waiting": None if step.waiting is None else _waiting(step.waiting),
            "map": None if step.map is None else _map(step.map),
            "output": _pair(step.output),
            "next": None if step.next is None else {"targets": step.next},
            "skip_reason": step.skip_reason,
            "handled": step.handled,
            "started_at": _time(step.started_at),
            "ended_at": _time(step.ended_at),
            "settled": step.settled,
            "visits": step.visits,
            "undo": None if step.undo is None else {"is": _compact(_unit(step.undo))},
            "undone": step.undone,
            "done": [
                [done.version, done.visit, {name: _step(read) for name, read in done.steps.items()}]
                for done in step.done
            ],
        }
    )


def _load_step(stored: dict[str, Any]) -> StepState:
    waiting, targets, undo = stored.get("waiting"), stored.get("next"), stored.get("undo")
    return StepState(
        **_load_unit(stored),
        status=StepStatus(stored["status"]),
        waiting=None if waiting is None else Waiting(waiting[0], _moment(waiting[1]), waiting[2]),
        map=_load_map(stored.get("map")),
        output=_load_pointer(stored.get("output")),
        next=None if targets is None else tuple(targets["targets"]),
        skip_reason=stored.get("skip_reason"),
        handled=stored.get("handled"),
        started_at=_moment(stored.get("started_at")),
        ended_at=_moment(stored.get("ended_at")),
        settled=stored.get("settled", 0),
        visits=stored.get("visits", 0),
        undo=None if undo is None else Unit(**_load_unit(undo["is"])),
        undone=stored.get("undone"),
        done=[
            Done(version, visit, {name: _load_step(read) for name, read in steps.items()})
            for version, visit, steps in stored.get("done", [])
        ],
    )


def _waiting(waiting: Waiting) -> list[Any]:
    return [waiting.event, _time(waiting.until), waiting.times_out]


def _map(found: MapState) -> dict[str, Any]:
    return _compact(
        {
            "items": _pair(found.items),
            "total": found.total,
            "next": found.next,
            "failed": f"{found.failed:x}" if found.failed else "",
            "dropped": found.dropped,
            "bytes": found.bytes,
            "apart": found.apart,
            "error_bytes": found.error_bytes,
            "open": {str(item): _compact(_unit(unit)) for item, unit in found.open.items()},
        }
    )


def _load_map(stored: dict[str, Any] | None) -> MapState | None:
    if stored is None:
        return None
    return MapState(
        items=Pointer(*stored["items"]),
        total=stored.get("total", 0),
        next=stored.get("next", 0),
        failed=int(stored.get("failed", "0"), 16),
        dropped=stored.get("dropped", 0),
        bytes=stored.get("bytes", 0),
        apart=stored.get("apart", 0),
        error_bytes=stored.get("error_bytes", 0),
        open={int(item): Unit(**_load_unit(unit)) for item, unit in stored.get("open", {}).items()},
    )


def _ending(ending: Ending | None) -> list[Any] | None:
    return None if ending is None else [ending.status.value, _pair(ending.error), ending.reason]


def _load_ending(stored: list[Any] | None) -> Ending | None:
    if stored is None:
        return None
    return Ending(ExecutionStatus(stored[0]), _load_pointer(stored[1]), stored[2])


def _parent(parent: Parent | None) -> dict[str, Any] | None:
    if parent is None:
        return None
    return {**parent._asdict(), "execution_id": str(parent.execution_id)}


def _load_parent(stored: dict[str, Any] | None) -> Parent | None:
    if stored is None:
        return None
    return Parent(int(stored["execution_id"]), stored["step"], stored["depth"], stored.get("item"))


def _pair(pointer: Pointer | None) -> list[int] | None:
    return None if pointer is None else list(pointer)


def _load_pointer(stored: list[int] | None) -> Pointer | None:
    return None if stored is None else Pointer(*stored)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)


def _moment(stored: str | None) -> datetime | None:
    return None if stored is None else parse_iso(stored)
