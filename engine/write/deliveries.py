"""Messages between executions: start a child, tell a parent, cascade a cancel, withdraw a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import asyncpg
import orjson
import structlog

from engine.domain.admit import Origin
from engine.domain.events import NewEvent
from engine.domain.execution import Parent
from engine.domain.ids import derive_id
from engine.domain.vocabulary import EventType, ExecutionStatus
from engine.errors import Invalid, PlaylogError
from engine.write.definitions import Definitions
from engine.write.executions import StartOrder, cancel_event, engine_event, refusal, start_request
from engine.write.refusals import WORTH_ANOTHER_TRY
from engine.write.requests import Delivery, Outcome, Request
from engine.write.writer import Appender
from sql import queries

SQL = queries.load("deliveries")

GIVE_UP_AFTER = 50

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Carried:
    """How many deliveries were carried out, by whomever, and how many failed and wait for another try."""

    done: int = 0
    failed: int = 0


async def due(connection: asyncpg.Connection, limit: int) -> list[Delivery]:
    """Deliveries that nobody has carried out within a second."""
    return [
        Delivery(
            delivery_id=row["delivery_id"],
            target=row["target_execution_id"],
            kind=row["kind"],
            event_id=row["event_id"],
            payload=orjson.loads(row["payload"]),
        )
        for row in await connection.fetch(SQL.due, limit)
    ]


async def carry_out(
    connection: asyncpg.Connection,
    appender: Appender,
    definitions: Definitions,
    deliveries: Sequence[Delivery],
) -> Carried:
    """Append each delivery to its target, which deletes its row.

    One that cannot be carried out now is postponed with a backoff, and never holds up the others. Only a
    target that does not appear is given up, after about three hours: whatever fails may succeed some day.
    """
    carried = Carried()
    for delivery in deliveries:
        try:
            outcome = await _carry_out(connection, appender, definitions, delivery)
        except Exception as error:  # noqa: BLE001  # one bad delivery must not hold up the others
            _report(delivery, error)
            await _postpone(connection, delivery)
            carried.failed += 1
            continue
        if not outcome.is_unknown:
            carried.done += 1
        elif await _postpone(connection, delivery) >= GIVE_UP_AFTER:
            await connection.execute(SQL.drop, delivery.delivery_id)
    return carried


async def _carry_out(
    connection: asyncpg.Connection, appender: Appender, definitions: Definitions, delivery: Delivery
) -> Outcome:
    """One append, or a second one to the parent when its child can never be started."""
    request = await _request(connection, definitions, delivery)
    if request.head is None:
        return await appender.submit(request)
    try:
        outcome = await appender.submit(request)
    except Invalid as error:
        return await appender.submit(_never_started(delivery, error))
    if not outcome.is_refused:
        return outcome
    return await appender.submit(_never_started(delivery, refusal(outcome.verdicts[0])))


def _report(delivery: Delivery, error: Exception) -> None:
    foreseen = isinstance(error, PlaylogError)
    _log.warning(
        "delivery.failed",
        delivery_id=delivery.delivery_id,
        kind=delivery.kind,
        target=delivery.target,
        error=error.code if isinstance(error, PlaylogError) else type(error).__name__,
        exc_info=None if foreseen else error,
    )


async def _postpone(connection: asyncpg.Connection, delivery: Delivery) -> int:
    attempts = await connection.fetchval(SQL.postpone, delivery.delivery_id)
    return int(attempts or 0)


async def _request(connection: asyncpg.Connection, definitions: Definitions, delivery: Delivery) -> Request:
    match delivery.kind:
        case "start":
            return await _start_child(connection, definitions, delivery)
        case "cancel":
            compensate = delivery.payload.get("compensate") is True
            event = cancel_event("parent ended", compensate=compensate, event_id=delivery.event_id)
        case "withdraw":
            event = _withdrawal(delivery)
        case _:
            event = engine_event(
                EventType.CHILD_COMPLETED,
                delivery.payload,
                event_id=delivery.event_id,
                step=str(delivery.payload["step"]),
            )._replace(item=_integer(delivery.payload.get("item")))
    return Request(
        execution_id=delivery.target,
        events=(event,),
        origin=Origin.ENGINE,
        delivery_id=delivery.delivery_id,
    )


def _withdrawal(delivery: Delivery) -> NewEvent:
    told = delivery.payload
    event = engine_event(
        EventType(str(told["event_type"])),
        {"error": told["error"]},
        event_id=delivery.event_id,
        step=str(told["step"]),
        command_id=int(str(told["command_id"])),
    )
    return event._replace(item=_integer(told["item"]), attempt=_integer(told["attempt"]))


async def _start_child(
    connection: asyncpg.Connection, definitions: Definitions, delivery: Delivery
) -> Request:
    asked = delivery.payload
    parent = _parent(asked["parent"])
    try:
        resolved, definition = await definitions.resolve(
            connection, str(asked["playbook"]), _integer(asked.get("version"))
        )
        resolved = replace(resolved, execution_id=delivery.target)
        order = StartOrder(
            playbook=resolved.path,
            inputs=_inputs(asked),
            priority=_integer(asked.get("priority")),
            deadline=definition.deadline_within(asked.get("deadline_seconds")),
        )
        request = start_request(definition, resolved, order, parent)
    except PlaylogError as error:
        if isinstance(error, WORTH_ANOTHER_TRY):
            raise
        return _never_started(delivery, error)
    return replace(request, delivery_id=delivery.delivery_id)


def _never_started(delivery: Delivery, error: PlaylogError) -> Request:
    parent = _parent(delivery.payload["parent"])
    event = engine_event(
        EventType.CHILD_COMPLETED,
        {
            "execution_id": str(delivery.target),
            "status": ExecutionStatus.FAILED.value,
            "error": {"code": "child_failed", "message": error.detail, "details": {"code": error.code}},
        },
        event_id=derive_id("child_ended", delivery.target),
        step=parent.step,
    )._replace(item=parent.item)
    return Request(
        execution_id=parent.execution_id,
        events=(event,),
        origin=Origin.ENGINE,
        delivery_id=delivery.delivery_id,
    )


def _parent(stored: object) -> Parent:
    if not isinstance(stored, dict):
        raise TypeError("a start delivery names its parent")
    return Parent(int(stored["execution_id"]), stored["step"], stored["depth"], stored.get("item"))


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _inputs(asked: dict[str, object]) -> dict[str, object]:
    inputs = asked.get("inputs")
    return inputs if isinstance(inputs, dict) else {}
