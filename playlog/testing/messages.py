"""What executions are told: to start, to end, and how their children ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import orjson

from engine.domain.attempts import child_error
from engine.domain.definition import Definition
from engine.domain.events import iso
from engine.domain.handles import MOST_BYTES
from engine.domain.vocabulary import EventType, ExecutionStatus
from engine.language import check_inputs
from playlog.testing.results import Failure, fail

Payload = dict[str, object]


def started(
    definition: Definition, version: int, inputs: Mapping[str, object], deadline: datetime, parent: object
) -> Payload:
    """The beginning of an execution; raises `Invalid` for inputs against the playbook."""
    said: Payload = {
        "playbook": definition.path,
        "playbook_version": version,
        "definition_hash": definition.hash.hex(),
        "inputs": check_inputs(definition, inputs),
        "deadline": iso(deadline),
        "pool": definition.pool,
        "priority": definition.priority,
    }
    if definition.labels:
        said["labels"] = dict(definition.labels)
    return said if parent is None else {**said, "parent": parent}


def cancelling(reason: str | None, *, compensate: bool) -> tuple[EventType, Payload]:
    """The event that ends an execution at once, or begins to undo what it has done."""
    if not compensate:
        return EventType.EXECUTION_CANCELLED, {"reason": reason}
    said: Payload = {"outcome": ExecutionStatus.CANCELLED.value}
    return EventType.EXECUTION_CANCELLING, said if reason is None else {**said, "reason": reason}


def child_ended(child_id: int, step: str, result: object) -> Payload:
    """How a child ended; `child_cancelled` and the like as the code of a failure say its status."""
    said: Payload = {"execution_id": str(child_id), "step": step}
    if not isinstance(result, Failure):
        return said | {"status": ExecutionStatus.COMPLETED.value, "output": as_json(result, step)}
    word = str(result.error["code"]).removeprefix("child_")
    status = ExecutionStatus(word) if word in {*ExecutionStatus} else ExecutionStatus.FAILED
    return said | {"status": status.value, "error": child_error(status, dict(result.error))}


def as_json(value: object, step: str) -> object:
    """A scripted value as it would come over the wire, a failure when it is too large for that.

    Raises `TypeError` for what is no JSON.
    """
    try:
        encoded = orjson.dumps(value)
    except TypeError as error:
        raise TypeError(f"the result of {step} is no JSON: {error}") from None
    if len(encoded) > MOST_BYTES:
        return fail("output_too_large", f"the output is {len(encoded)} bytes, {MOST_BYTES} are allowed")
    return orjson.loads(encoded)
