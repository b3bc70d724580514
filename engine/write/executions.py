"""Commands on executions: start, signal, cancel, pause, resume, reopen. Each is one append."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import blake2b
from uuid import uuid4

import asyncpg
import orjson

from engine.domain.admit import Admission, Origin, Verdict
from engine.domain.definition import Definition
from engine.domain.events import NewEvent, iso
from engine.domain.execution import Parent
from engine.domain.ids import derive_id
from engine.domain.vocabulary import EVENT_STATUS, EventType, ExecutionStatus
from engine.errors import Busy, Conflict, Invalid, NotFound, PlaylogError, Purged
from engine.language.inputs import check_inputs
from engine.write.catalog import Resolved
from engine.write.definitions import Definitions, fresh_deadline
from engine.write.keys import find_keys
from engine.write.requests import Key, Known, NewHead, Outcome, Request
from engine.write.writer import Appender

EXECUTION_KEY_SCOPE = "key"
START_SCOPE = "start"

Checkout = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOrder:
    """What a caller asks to run.

    `deadline` in seconds; `key` names the execution, unique for ever; `idempotency_key` makes the
    request repeatable.
    """

    playbook: str
    version: int | None = None
    inputs: Mapping[str, object] = field(default_factory=dict)
    key: str | None = None
    idempotency_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None
    priority: int | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an execution stands after a write; `created` says whether this call started it."""

    execution_id: int
    version: int
    status: str
    created: bool = False


async def start(
    checkout: Checkout, appender: Appender, definitions: Definitions, order: StartOrder
) -> Standing:
    """Start an execution; the same key with the same order answers the first one's execution.

    Raises `NotFound` (unknown playbook), `Conflict` (paused, or the key with another order), `Invalid`
    (inputs against their schema, or the Idempotency-Key with another order). A connection is held only
    while the playbook is looked up.
    """
    keys = _keys(order)
    async with checkout() as connection:
        for known in await find_keys(connection, keys):
            return _first_answer(known)
        resolved, definition = await definitions.resolve(connection, order.playbook, order.version)
    outcome = await appender.submit(start_request(definition, resolved, order))
    if outcome.known is not None:
        return _first_answer(outcome.known)
    return Standing(outcome.execution_id, outcome.version, outcome.status, created=True)


def _first_answer(known: Known) -> Standing:
    if known.same_request:
        return Standing(known.execution_id, known.version, known.status)
    if known.scope == EXECUTION_KEY_SCOPE:
        raise Conflict("the key names an execution of another order", code="key")
    raise Invalid("the Idempotency-Key was used with another body", code="idempotency_key")


def start_request(
    definition: Definition, resolved: Resolved, order: StartOrder, parent: Parent | None = None
) -> Request:
    """The append that starts an execution; raises `Invalid` for inputs against their schema."""
    seconds = definition.deadline if order.deadline is None else order.deadline
    head = NewHead(
        definition_hash=resolved.definition_hash,
        path=resolved.path,
        playbook_version=resolved.version,
        parent_id=None if parent is None else parent.execution_id,
        pool=definition.pool,
        priority=definition.priority if order.priority is None else order.priority,
        deadline=resolved.moment + timedelta(seconds=seconds),
    )
    labelled = replace(order, labels={**definition.labels, **order.labels})
    event = engine_event(
        EventType.EXECUTION_STARTED,
        _started_payload(head, check_inputs(definition, order.inputs), labelled, parent),
        event_id=derive_id("started", resolved.execution_id),
        traceparent=order.traceparent,
    )
    return Request(
        execution_id=resolved.execution_id,
        events=(event,),
        origin=Origin.ENGINE,
        head=head,
        keys=_keys(order),
    )


def _started_payload(
    head: NewHead, inputs: object, order: StartOrder, parent: Parent | None
) -> dict[str, object]:
    payload: dict[str, object] = {
        "playbook": head.path,
        "playbook_version": head.playbook_version,
        "definition_hash": head.definition_hash.hex(),
        "inputs": inputs,
        "deadline": iso(head.deadline),
        "pool": head.pool,
        "priority": head.priority,
    }
    if order.labels:
        payload["labels"] = dict(order.labels)
    if order.key is not None:
        payload["key"] = order.key
    if parent is not None:
        payload["parent"] = {**parent._asdict(), "execution_id": str(parent.execution_id)}
    return payload


def _keys(order: StartOrder) -> tuple[Key, ...]:
    asked = [order.playbook, order.version, order.inputs, order.labels, order.deadline, order.priority]
    body = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    request_hash = blake2b(body, digest_size=16).digest()
    keys = []
    if order.key is not None:
        keys.append(Key(EXECUTION_KEY_SCOPE, order.key, request_hash))
    if order.idempotency_key is not None:
        keys.append(Key(START_SCOPE, order.idempotency_key, request_hash))
    return tuple(keys)


async def signal(
    appender: Appender, execution_id: int, name: str, data: object, idempotency_key: str | None = None
) -> Standing:
    """Give an execution a signal; with an idempotency key a repetition changes nothing.

    Raises `NotFound`, `Conflict` (ended, or the key with another body) and `Busy` (mailbox full).
    """
    # Without a key of the caller's, the id still tells the append that it tries for the second time.
    event_id = derive_id("signal", execution_id, idempotency_key or uuid4().hex)
    event = engine_event(EventType.SIGNAL_RECEIVED, {"name": name, "data": data}, event_id=event_id)
    return await _one(appender, execution_id, event)


async def cancel(
    appender: Appender, execution_id: int, reason: str | None = None, *, compensate: bool = False
) -> Standing:
    """End an execution: at once, or with `compensate` after its completed steps are undone.

    Repeated, it answers the same. Raises `NotFound` and `Conflict` (ended otherwise, or compensating).
    """
    return await _one(appender, execution_id, cancel_event(reason, compensate=compensate))


def cancel_event(reason: str | None, *, compensate: bool, event_id: int | None = None) -> NewEvent:
    """The event that ends an execution, or begins to undo it."""
    if not compensate:
        return engine_event(EventType.EXECUTION_CANCELLED, {"reason": reason}, event_id=event_id)
    payload: dict[str, object] = {"outcome": ExecutionStatus.CANCELLED.value}
    if reason is not None:
        payload["reason"] = reason
    return engine_event(EventType.EXECUTION_CANCELLING, payload, event_id=event_id)


async def pause(appender: Appender, execution_id: int, reason: str | None = None) -> Standing:
    """Hand out no more of an execution's commands; what workers have goes on, and so do timers.

    Repeated, it answers the same. Raises `NotFound` and `Conflict` (ended or compensating).
    """
    return await _one(appender, execution_id, engine_event(EventType.EXECUTION_PAUSED, {"reason": reason}))


async def resume(appender: Appender, execution_id: int, reason: str | None = None) -> Standing:
    """Hand out what a pause has held; raises like `pause`."""
    return await _one(appender, execution_id, engine_event(EventType.EXECUTION_RESUMED, {"reason": reason}))


async def reopen(
    checkout: Checkout,
    appender: Appender,
    execution_id: int,
    *,
    step: str | None = None,
    reason: str | None = None,
) -> Standing:
    """Retry an execution that failed, timed out or was cancelled: what did not complete begins again.

    Its deadline is that of its definition, from now on; `step` must be one that begins again. Raises
    `NotFound`, `Purged` and `Conflict`, whose code says why not: see `engine.domain.reopening`.
    """
    payload: dict[str, object] = {"reason": reason}
    if step is not None:
        payload["step"] = step
    async with checkout() as connection:
        payload |= await fresh_deadline(connection, execution_id)
    # The id tells the append that it tries for the second time: the execution has not failed once more.
    event_id = derive_id("reopen", execution_id, uuid4().hex)
    event = engine_event(EventType.EXECUTION_REOPENED, payload, event_id=event_id)
    return await _one(appender, execution_id, event)


def engine_event(
    kind: EventType,
    payload: object,
    *,
    event_id: int | None = None,
    step: str | None = None,
    command_id: int | None = None,
    traceparent: str | None = None,
) -> NewEvent:
    """An event that a function of the engine sends, with the status its type has."""
    return NewEvent(
        event_type=kind.value,
        status=EVENT_STATUS[kind],
        payload=payload,
        event_id=event_id,
        step=step,
        command_id=command_id,
        traceparent=traceparent,
    )


async def _one(appender: Appender, execution_id: int, event: NewEvent) -> Standing:
    request = Request(execution_id=execution_id, events=(event,), origin=Origin.ENGINE)
    outcome: Outcome = await appender.submit(request)
    admission = outcome.verdicts[0]
    if admission.verdict is Verdict.REJECTED:
        raise refusal(admission)
    return Standing(outcome.execution_id, outcome.version, outcome.status)


def refusal(admission: Admission) -> PlaylogError:
    """The error of a single rejected event."""
    match admission.code:
        case "unknown_execution":
            return NotFound(admission.detail, code=admission.code)
        case "purged":
            return Purged(admission.detail)
        case "mailbox_full":
            return Busy(admission.detail, code=admission.code, retry_after=10)
        case _:
            return Conflict(admission.detail, code=admission.code)
