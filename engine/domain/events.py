"""Events as sent, as stored, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

import orjson

HASH_BYTES = 16


class NewEvent(NamedTuple):
    """An event before it has a place in a stream: a named tuple, as `RecordedEvent` is.

    `event_id` None means that deciding made it: its id derives from its version. `created_at` None means
    that it is as old as its recording. `command_id` and `lease_token` settle a command. `encoded` is the
    JSON of the payload, where it is known already: who replaces the payload drops it.
    """

    event_type: str
    status: str
    event_id: int | None = None
    step: str | None = None
    attempt: int | None = None
    item: int | None = None
    payload: object = None
    meta: Mapping[str, object] | None = None
    command_id: int | None = None
    lease_token: int | None = None
    causation_id: int | None = None
    traceparent: str | None = None
    created_at: datetime | None = None
    encoded: bytes | None = None


class RecordedEvent(NamedTuple):
    """An event as stored: immutable, at one version of one execution.

    A named tuple because the append makes one for each event, and a frozen dataclass costs three times that.
    """

    execution_id: int
    version: int
    event_id: int
    event_type: str
    status: str
    recorded_at: datetime
    created_at: datetime
    step: str | None = None
    attempt: int | None = None
    item: int | None = None
    payload: object = None
    meta: Mapping[str, object] | None = None
    command_id: int | None = None
    causation_id: int | None = None
    traceparent: str | None = None


def content_hash(event: NewEvent | RecordedEvent) -> bytes:
    """16 bytes over what the producer said: type, step, item, status, payload and command.

    Times, trace and meta stay out, so that a redelivery which words them anew is still the same event.
    """
    content = [event.event_type, event.step, event.item, event.status, event.payload, event.command_id]
    return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=HASH_BYTES).digest()


def to_json(event: RecordedEvent) -> dict[str, object]:
    """The one JSON shape of an event, in messages and in the public API: ids as strings."""
    return shape(event, event.payload, iso(event.created_at), iso(event.recorded_at))


def shape(
    event: RecordedEvent, payload: object, created_at: object, recorded_at: object
) -> dict[str, object]:
    """The fields of an event's JSON in their order, with payload and times worded by the caller."""
    return {
        "version": event.version,
        "event_id": str(event.event_id),
        "event_type": event.event_type,
        "step": event.step,
        "attempt": event.attempt,
        "item": event.item,
        "status": event.status,
        "payload": payload,
        "meta": event.meta,
        "command_id": None if event.command_id is None else str(event.command_id),
        "causation_id": None if event.causation_id is None else str(event.causation_id),
        "traceparent": event.traceparent,
        "created_at": created_at,
        "recorded_at": recorded_at,
    }


def from_json(execution_id: int, event: Mapping[str, object]) -> RecordedEvent:
    """The inverse of `to_json`; raises KeyError, TypeError or ValueError for anything else."""
    command_id, causation_id = event["command_id"], event["causation_id"]
    return RecordedEvent(
        execution_id=execution_id,
        version=_integer(event["version"]),
        event_id=_integer(event["event_id"]),
        event_type=str(event["event_type"]),
        step=_text(event["step"]),
        attempt=_optional_integer(event["attempt"]),
        item=_optional_integer(event["item"]),
        status=str(event["status"]),
        payload=event["payload"],
        meta=_object(event["meta"]),
        command_id=_optional_integer(command_id),
        causation_id=_optional_integer(causation_id),
        traceparent=_text(event["traceparent"]),
        created_at=parse_iso(event["created_at"]),
        recorded_at=parse_iso(event["recorded_at"]),
    )


class Row(Protocol):
    """One row of a result, read by column name."""

    def __getitem__(self, column: str) -> Any: ...  # noqa: ANN401  # a column has any type


def from_row(row: Row) -> RecordedEvent:
    """One row of the log; its `json` columns are text."""
    payload, meta = row["payload"], row["meta"]
    return RecordedEvent(
        execution_id=row["execution_id"],
        version=row["version"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        step=row["step"],
        attempt=row["attempt"],
        item=row["item"],
        status=row["status"],
        payload=None if payload is None else orjson.loads(payload),
        meta=None if meta is None else orjson.loads(meta),
        command_id=row["command_id"],
        causation_id=row["causation_id"],
        traceparent=row["traceparent"],
        created_at=row["created_at"],
        recorded_at=row["recorded_at"],
    )


def iso(moment: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds and `Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    if moment.microsecond:  # a tenth of isoformat's time, but it leaves microseconds of zero out
        return orjson.dumps(moment, option=orjson.OPT_UTC_Z)[1:-1].decode()
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def parse_iso(value: object) -> datetime:
    """The inverse of `iso`; raises ValueError or TypeError."""
    if not isinstance(value, str):
        raise TypeError("a time is a string")
    return datetime.fromisoformat(value)


def _integer(value: object) -> int:
    if isinstance(value, (int, str)):
        return int(value)
    raise TypeError("an id is an integer or a string")


def _optional_integer(value: object) -> int | None:
    return None if value is None else _integer(value)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _object(value: object) -> Mapping[str, object] | None:
    if value is None or isinstance(value, dict):
        return value
    raise TypeError("meta is an object")
