"""A native event as a producer sent it becomes a `NewEvent`, or a rejection with a code: one way for all.

The payload is stored as the result envelope `{status, data}` or `{status, reference}`:

    an object that is an envelope already          as it is
    result_kind ref or refs                        {status, reference: {kind, uri | event_ids}, data?}
    anything else: object, array, text, 7, null    {status, data: <as sent, of the same JSON type>}
    command.completed|failed with a lease token    {status of the type, data: <the output or the error>},
                                                   {status, reference} for an output kept as a payload of ours

Fields that are not of the contract are kept in `meta` under their own names.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, TypeGuard

import orjson

from engine.domain.events import NewEvent, iso
from engine.domain.handles import own_reference
from engine.domain.ids import MAX_ID, derive_id, parse_id, settled_event_id
from engine.domain.json_values import Unstorable, check_value
from engine.domain.vocabulary import EVENT_STATUS, EventType, known_type

STEP_CHARACTERS = 256
WORKER_CHARACTERS = 128
MOST_ATTEMPTS = 2**31 - 1
YEARS = range(1970, 3000)
WORD_CHARACTERS = 128
WORDS_REMEMBERED = 1_000
"""Producers use few event types and statuses; what was found out about so many of each is remembered."""

FIELDS = frozenset(
    {
        *("execution_id", "step", "event_type", "payload", "meta", "worker_id", "event_id", "status"),
        *("created_at", "result_kind", "result_uri", "event_ids", "actionable", "informative"),
        *("command_id", "lease_token", "attempt", "traceparent"),
    }
)
SETTLING = frozenset({EventType.COMMAND_COMPLETED.value, EventType.COMMAND_FAILED.value})

COMPLETED_SUFFIXES = ("done", "exit", "completed")
FAILED_SUFFIXES = ("error", "failed")
SYNONYMS = {"SUCCESS": "COMPLETED"}

_EVENT_TYPE = re.compile(r"(?![^*>]*[*>])[!-~]{1,128}")
_STATUS = re.compile(r"[A-Z][A-Z0-9_.-]{0,63}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LOCAL = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?"
_ZONE = r"(?:[Zz]|[+-]\d\d:\d\d)"
_ZONED = re.compile(_LOCAL + _ZONE, re.ASCII)
_TIME = re.compile(f"{_LOCAL}{_ZONE}?", re.ASCII)

Raw = dict[str, object]


class Normalized(NamedTuple):
    """An event for one execution; without an `event_id` it needs a fresh one."""

    execution_id: int
    event: NewEvent


class IdempotentPlace(NamedTuple):
    """Where an event stands in a request that may be repeated: its Idempotency-Key and the index in it."""

    key: str
    position: int


def normalize(raw: object, place: IdempotentPlace | None = None, *, is_finite: bool = False) -> Normalized:
    """Read one native event.

    Its id is the given one; else, with `created_at` or `command_id`, a hash of what it says; else, with a
    place, a hash of that; else None. `is_finite` as in `check_value`. Raises `Unstorable` with the code of
    the rejection.
    """
    if not isinstance(raw, dict):
        raise Unstorable("bad_type", "an event is an object")
    check_value(raw, is_finite=is_finite)
    fields = _with_aliases(raw)
    execution_id = required_id(fields, "execution_id")
    event_type = event_type_of(fields.get("event_type"))
    command_id = optional_id(fields, "command_id")
    lease_token = optional_id(fields, "lease_token")
    settles = event_type in SETTLING and command_id is not None and lease_token is not None
    status = EVENT_STATUS[EventType(event_type)] if settles else status_of(fields.get("status"), event_type)
    payload = _outcome(event_type, status, fields) if settles else _envelope(status, fields)
    created_at = time_of(fields.get("created_at"), naive=False)
    event = NewEvent(
        event_type=event_type,
        status=status,
        event_id=_event_id(fields, execution_id, (event_type, status, payload, created_at), place),
        step=step_of(fields),
        attempt=_attempt(fields),
        payload=payload,
        meta=_meta(fields),
        command_id=command_id,
        lease_token=lease_token,
        traceparent=_traceparent(fields),
        created_at=created_at,
        encoded=orjson.dumps(payload),
    )
    return Normalized(execution_id, event)


def required_id(fields: Raw, name: str) -> int:
    """An identifier, as a decimal string or an integer; raises `Unstorable`, also when it is missing."""
    found = parse_id(fields.get(name)) or optional_id(fields, name)
    if found is None:
        raise Unstorable("bad_id", f"{name} is missing")
    return found


def optional_id(fields: Raw, name: str) -> int | None:
    """An identifier or None; raises `Unstorable` with bad_id, or bad_number for one beyond 63 bits."""
    value = fields.get(name)
    if value is None:
        return None
    found = parse_id(value)
    if found is None:
        code = "bad_number" if _is_beyond(value) else "bad_id"
        raise Unstorable(code, f"{name} is a positive integer of at most 63 bits, as a number or as digits")
    return found


def _is_beyond(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and (len(value) > len(str(MAX_ID)) or int(value) > MAX_ID)
    return isinstance(value, int | float) and not -MAX_ID <= value <= MAX_ID


def event_type_of(value: object) -> str:
    """An event type: 1 to 128 visible ASCII characters without `*` and `>`."""
    if not isinstance(value, str) or len(value) > WORD_CHARACTERS or not _is_event_type(value):
        raise Unstorable("bad_type", "event_type is 1 to 128 visible ASCII characters without * and >")
    return value


@lru_cache(WORDS_REMEMBERED)
def _is_event_type(value: str) -> bool:
    return _EVENT_TYPE.fullmatch(value) is not None


def status_of(given: object, event_type: str) -> str:
    """The status as given, upper case; else as the event type says: its table, then its last syllable."""
    if given is None or given == "":
        kind = known_type(event_type)
        return _by_suffix(event_type.lower()) if kind is None else EVENT_STATUS[kind]
    status = _status(given) if isinstance(given, str) and len(given) <= WORD_CHARACTERS else None
    if status is None:
        raise Unstorable("bad_type", "status is a word of at most 64 letters, digits, dots and dashes")
    return status


@lru_cache(WORDS_REMEMBERED)
def _status(given: str) -> str | None:
    status = given.upper()
    return SYNONYMS.get(status, status) if _STATUS.fullmatch(status) else None


def _by_suffix(event_type: str) -> str:
    if event_type.endswith(COMPLETED_SUFFIXES):
        return "COMPLETED"
    return "FAILED" if event_type.endswith(FAILED_SUFFIXES) else "RUNNING"


def time_of(value: object, *, naive: bool) -> datetime | None:
    """An RFC 3339 time in UTC, or None for none; `naive` takes one without offset, as UTC, and an empty one.

    Raises `Unstorable` with bad_time; the years are 1970 to 2999.
    """
    if value is None or (naive and value == ""):
        return None
    if not isinstance(value, str) or not (_TIME if naive else _ZONED).fullmatch(value):
        raise Unstorable("bad_time", "a time is RFC 3339, such as 2026-01-02T03:04:05.678Z")
    try:
        moment = datetime.fromisoformat(value.upper())
        if moment.tzinfo is not UTC:
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unstorable("bad_time", "there is no such time") from None
    if moment.year not in YEARS:
        raise Unstorable("bad_time", f"the year is not within {YEARS[0]} and {YEARS[-1]}")
    return moment


def envelope(status: str, payload: object) -> Raw:
    """The result envelope of a payload; one that is an envelope already stays as it is."""
    return payload if is_envelope(payload) else {"status": status, "data": payload}


def is_envelope(payload: object) -> TypeGuard[Raw]:
    """Whether a payload is `{status, data}` or `{status, reference}`, or has all three."""
    return (
        isinstance(payload, dict)
        and isinstance(payload.get("status"), str)
        and ("data" in payload or "reference" in payload)
        and payload.keys() <= {"status", "data", "reference"}
    )


def error_of(value: object) -> Raw:
    """An error as deciding reads it: an object with the texts `code` and `message`, and what else it had."""
    if isinstance(value, dict):
        code, message = value.get("code"), value.get("message")
        return {
            **value,
            "code": code if isinstance(code, str) and code else "error",
            "message": message if isinstance(message, str) else "",
        }
    if isinstance(value, str):
        return {"code": "error", "message": value}
    return {"code": "error", "message": ""} | ({} if value is None else {"details": value})


def text_of(fields: Raw, name: str, most: int) -> str | None:
    """A text of at most so many characters, or None; an empty one is none."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > most:
        raise Unstorable("bad_type", f"{name} is a text of at most {most} characters")
    return value


def step_of(fields: Raw) -> str | None:
    """The step; it must be there, but may be empty for events of a whole execution."""
    if "step" not in fields:
        raise Unstorable("bad_type", "step is missing")
    return text_of(fields, "step", STEP_CHARACTERS)


def meta_of(fields: Raw) -> Raw:
    """The sent `meta`: an object or none."""
    meta = fields.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise Unstorable("bad_type", "meta is an object")
    return meta or {}


def _with_aliases(raw: Raw) -> Raw:
    renamed = {}
    if "event_type" not in raw and "name" in raw:
        renamed["name"] = "event_type"
    if "payload" not in raw and "context" in raw:
        renamed["context"] = "payload"
    return {renamed.get(name, name): value for name, value in raw.items()} if renamed else raw


def _envelope(status: str, fields: Raw) -> Raw:
    payload = fields.get("payload")
    match fields.get("result_kind"):
        case None | "data":
            return envelope(status, payload)
        case "ref":
            reference: Raw = {"kind": "ref", "uri": reference_uri(fields.get("result_uri"))}
        case "refs":
            reference = {"kind": "refs", "event_ids": _id_list(fields.get("event_ids"))}
        case _:
            raise Unstorable("bad_type", "result_kind is data, ref or refs")
    found: Raw = {"status": status, "reference": reference}
    return found if payload is None else found | {"data": payload}


def _outcome(event_type: str, status: str, fields: Raw) -> Raw:
    found = _envelope(status, fields)
    if event_type == EventType.COMMAND_COMPLETED and own_reference(found):
        return {"status": status, "reference": found["reference"]}
    value = found["data"] if "data" in found else {"reference": found["reference"]}
    return {"status": status, "data": error_of(value) if event_type == EventType.COMMAND_FAILED else value}


def reference_uri(value: object) -> str:
    """The address of a result that lies elsewhere; raises `Unstorable` when there is none."""
    if not isinstance(value, str) or not value:
        raise Unstorable("bad_type", "result_kind ref needs a result_uri")
    return value


def _id_list(value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise Unstorable("bad_type", "result_kind refs needs event_ids")
    return [str(required_id({"event_ids": each}, "event_ids")) for each in value]


def _attempt(fields: Raw) -> int | None:
    value = fields.get("attempt")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_ATTEMPTS:
        raise Unstorable("bad_number", "attempt is an integer from 0 to 2147483647")
    return value


def _meta(fields: Raw) -> Raw:
    meta = {name: value for name, value in fields.items() if name not in FIELDS}
    meta.update(meta_of(fields))
    for name in ("actionable", "informative"):
        flag = fields.get(name, True)
        if not isinstance(flag, bool):
            raise Unstorable("bad_type", f"{name} is true or false")
        meta[name] = flag
    worker_id = text_of(fields, "worker_id", WORKER_CHARACTERS)
    if worker_id is not None:
        meta["worker_id"] = worker_id
    return meta


def _traceparent(fields: Raw) -> str | None:
    value = fields.get("traceparent")
    if value is not None and (not isinstance(value, str) or not _TRACEPARENT.fullmatch(value)):
        raise Unstorable("bad_type", "traceparent is a W3C trace context")
    return value


def _event_id(
    fields: Raw,
    execution_id: int,
    said: tuple[str, str, Raw, datetime | None],
    place: IdempotentPlace | None,
) -> int | None:
    given = optional_id(fields, "event_id")
    if given is not None:
        return given
    event_type, status, payload, created_at = said
    command_id = parse_id(fields.get("command_id"))
    if event_type in SETTLING and command_id is not None:
        return settled_event_id(command_id)
    if created_at is not None or command_id is not None:
        moment = None if created_at is None else iso(created_at)
        content = [event_type, status, payload, fields.get("step"), fields.get("attempt"), moment]
        hashed = orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
        return derive_id("native", execution_id, command_id or 0, hashed)
    return None if place is None else derive_id("request", execution_id, place.key, place.position)
