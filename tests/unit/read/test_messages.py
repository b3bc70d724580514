"""A message of the stream is read as the write side worded it, or refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from engine.domain.events import RecordedEvent, to_json
from engine.read.messages import UnreadableMessage, execution_of, parse_message

AT = datetime(2026, 1, 1, tzinfo=UTC)


def event(version: int) -> RecordedEvent:
    return RecordedEvent(
        execution_id=7,
        version=version,
        event_id=version + 100,
        event_type="node.done",
        status="COMPLETED",
        recorded_at=AT,
        created_at=AT,
        payload={"a": [1.5, None]},
        command_id=2**62,
    )


def body(**changes: Any) -> bytes:
    whole = {
        "execution_id": "7",
        "definition_hash": "00ff",
        "path": "a/b",
        "first_version": 3,
        "last_version": 4,
        "events": [to_json(event(3)), to_json(event(4))],
    }
    return orjson.dumps(whole | changes)


def test_a_message_carries_its_events() -> None:
    message = parse_message(body())
    assert (message.execution_id, message.definition_hash) == (7, b"\x00\xff")
    assert message.events == (event(3), event(4))
    assert (message.first_version, message.last_version) == (3, 4)
    assert parse_message(body(definition_hash=None)).definition_hash is None


@pytest.mark.parametrize(
    "unreadable",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        body(execution_id="x"),
        body(execution_id=0),
        body(definition_hash="zz"),
        body(events=None),
        body(events=[]),
        body(events=[1]),
        body(events=[to_json(event(3)), to_json(event(5))]),
        body(events=[to_json(event(4)), to_json(event(3))]),
        body(events=[to_json(event(3)) | {"recorded_at": "yesterday"}]),
        body(events=[to_json(event(3)) | {"meta": 1}]),
        body(events=[{"version": 3}]),
    ],
)
def test_anything_else_is_refused(unreadable: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        parse_message(unreadable)


def test_a_subject_names_its_execution() -> None:
    assert execution_of("playlog.events.3.99") == 99
    assert execution_of("playlog.events.3.x") is None
