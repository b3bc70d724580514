"""A message of the stream stays within its bytes, all of it counted."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from engine.domain.events import RecordedEvent, to_json
from engine.domain.messages import ENVELOPE_BYTES, MESSAGE_BYTES, Draft, Span, body, encode

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def event(version: int, payload: object = None) -> RecordedEvent:
    return RecordedEvent(
        execution_id=7,
        version=version,
        event_id=version,
        event_type="order.noted",
        status="RUNNING",
        recorded_at=NOW,
        created_at=NOW,
        payload=payload,
        meta={"source": "test"},
    )


def test_an_encoded_event_is_the_one_json_of_events() -> None:
    sent = event(1, {"n": [1, None]})
    assert orjson.loads(encode(sent, orjson.dumps(sent.payload))) == to_json(sent)


def test_a_draft_takes_events_up_to_the_limit_and_its_body_holds_them_all() -> None:
    draft = Draft()
    version = 0
    while draft.takes(encoded := encode(event(version + 1), b"null")):
        version += 1
        draft.add(event(version), encoded)
    document = draft.body(b"h" * 32, "tests/path")
    assert MESSAGE_BYTES - ENVELOPE_BYTES - 2 * len(encoded) < len(document) <= MESSAGE_BYTES
    told = orjson.loads(document)
    assert (told["first_version"], told["last_version"]) == (1, version)
    assert told["events"] == [to_json(each) for each in draft.events]


def test_an_event_beyond_the_limit_goes_alone() -> None:
    draft = Draft()
    large = b'"' + b"x" * MESSAGE_BYTES + b'"'
    assert draft.takes(encode(event(1), large))
    draft.add(event(1), encode(event(1), large))
    assert not draft.takes(encode(event(2), b"null"))


def test_the_longest_envelope_is_within_what_is_counted_for_it() -> None:
    largest = 2**63 - 1
    assert len(body(Span(largest, 2**31, 2**31), b"h" * 32, "p" * 1_000, ())) < ENVELOPE_BYTES
