"""The state as JSON and back, its hash, and the version of the fold that made it."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Any

import orjson

from engine.domain.events import iso, parse_iso
from engine.domain.execution import Execution, Parent, Pointer, StepState, Waiting
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
            "commands": {str(command_id): name for command_id, name in state.commands.items()},
            "children": {str(child_id): name for child_id, name in state.children.items()},
            "waits": state.waits,
            "mailbox": {name: [list(at) for at in queue] for name, queue in state.mailbox.items()},
            "timers": {key: iso(due) for key, due in state.timers.items()},
            "active": state.active,
            "waiting": state.waiting,
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
        commands={int(key): name for key, name in stored.get("commands", {}).items()},
        children={int(key): name for key, name in stored.get("children", {}).items()},
        waits=stored.get("waits", {}),
        mailbox={
            name: [Pointer(*item) for item in items] for name, items in stored.get("mailbox", {}).items()
        },
        timers={key: parse_iso(due) for key, due in stored.get("timers", {}).items()},
        active=stored.get("active", 0),
        waiting=stored.get("waiting", 0),
    )


def encode(state: Execution) -> bytes:
    """The dumped state as canonical JSON bytes."""
    return orjson.dumps(dump(state), option=orjson.OPT_SORT_KEYS)


def state_hash(encoded: bytes) -> bytes:
    """16 bytes that equal those of a fresh fold exactly when nothing has drifted."""
    return blake2b(encoded, digest_size=16).digest()


def _compact(stored: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stored.items() if value or key in {"phase", "version"}}


def _step(step: StepState) -> dict[str, Any]:
    return _compact(
        {
            "status": step.status.value,
            "attempt": step.attempt,
            "failures": step.failures,
            "lost": step.lost,
            "command_id": None if step.command_id is None else str(step.command_id),
            "child_id": None if step.child_id is None else str(step.child_id),
            "waiting": None if step.waiting is None else [step.waiting.event, _time(step.waiting.until)],
            "output": _pair(step.output),
            "error": _pair(step.error),
            "next": None if step.next is None else {"targets": step.next},
            "skip_reason": step.skip_reason,
            "started_at": _time(step.started_at),
            "ended_at": _time(step.ended_at),
        }
    )


def _load_step(stored: dict[str, Any]) -> StepState:
    waiting = stored.get("waiting")
    targets = stored.get("next")
    return StepState(
        status=StepStatus(stored["status"]),
        attempt=stored.get("attempt", 0),
        failures=stored.get("failures", 0),
        lost=stored.get("lost", 0),
        command_id=None if "command_id" not in stored else int(stored["command_id"]),
        child_id=None if "child_id" not in stored else int(stored["child_id"]),
        waiting=None if waiting is None else Waiting(waiting[0], _moment(waiting[1])),
        output=_load_pointer(stored.get("output")),
        error=_load_pointer(stored.get("error")),
        next=None if targets is None else tuple(targets["targets"]),
        skip_reason=stored.get("skip_reason"),
        started_at=_moment(stored.get("started_at")),
        ended_at=_moment(stored.get("ended_at")),
    )


def _parent(parent: Parent | None) -> dict[str, Any] | None:
    if parent is None:
        return None
    return {"execution_id": str(parent.execution_id), "step": parent.step, "depth": parent.depth}


def _load_parent(stored: dict[str, Any] | None) -> Parent | None:
    if stored is None:
        return None
    return Parent(int(stored["execution_id"]), stored["step"], stored["depth"])


def _pair(pointer: Pointer | None) -> list[int] | None:
    return None if pointer is None else list(pointer)


def _load_pointer(stored: list[int] | None) -> Pointer | None:
    return None if stored is None else Pointer(*stored)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)


def _moment(stored: str | None) -> datetime | None:
    return None if stored is None else parse_iso(stored)
