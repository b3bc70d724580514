"""Row-shaped events, as another system's log has them, become `NewEvent`s of a foreign execution.

`result` is the payload, or `context` where there is no result; both are stored as the result envelope.
The step is `node_name`, else `node_id`. What else a row has is kept in `meta` under its own name.
"""

from __future__ import annotations

import orjson

from engine.domain.events import NewEvent
from engine.domain.json_values import Unstorable, check_value
from engine.domain.normalize import (
    STEP_CHARACTERS,
    Normalized,
    Raw,
    envelope,
    event_type_of,
    meta_of,
    required_id,
    status_of,
    text_of,
    time_of,
)

READ = frozenset(
    {"event_id", "execution_id", "event_type", "status", "result", "meta", "timestamp", "created_at"}
)


def normalize_row(raw: object, *, is_finite: bool = False) -> Normalized:
    """Read one row; times without an offset are UTC, `is_finite` as in `check_value`.

    Raises `Unstorable` with the code of the rejection.
    """
    if not isinstance(raw, dict):
        raise Unstorable("bad_type", "an event is an object")
    check_value(raw, is_finite=is_finite)
    fields: Raw = raw
    execution_id = required_id(fields, "execution_id")
    event_type = event_type_of(fields.get("event_type"))
    status = status_of(fields.get("status"), event_type)
    told, payload = _payload(fields)
    named, step = _step(fields)
    moment = time_of(fields.get("timestamp"), naive=True) or time_of(fields.get("created_at"), naive=True)
    stored = envelope(status, payload)
    event = NewEvent(
        event_type,
        status,
        required_id(fields, "event_id"),
        step,
        payload=stored,
        meta=_meta(fields, told, named) or None,
        created_at=moment,
        encoded=orjson.dumps(stored),
    )
    return Normalized(execution_id, event)


def _payload(fields: Raw) -> tuple[str, object]:
    name = "context" if fields.get("result") is None else "result"
    return name, fields.get(name)


def _step(fields: Raw) -> tuple[str, str | None]:
    name = text_of(fields, "node_name", STEP_CHARACTERS)
    if name is not None:
        return "node_name", name
    value = fields.get("node_id")
    if isinstance(value, int) and not isinstance(value, bool):
        return "node_id", str(value)
    return "node_id", text_of(fields, "node_id", STEP_CHARACTERS)


def _meta(fields: Raw, *read: str) -> Raw:
    kept = {
        name: value
        for name, value in fields.items()
        if name not in READ and name not in read and value is not None and value != ""
    }
    kept.update(meta_of(fields))
    return kept
