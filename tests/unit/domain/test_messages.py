"""A message of the stream stays within its bytes, all of it counted; its headers say what it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest

from engine.domain.events import RecordedEvent, iso, to_json
from engine.domain.messages import (
    ENVELOPE_BYTES,
    MESSAGE_BYTES,
    Draft,
    Span,
    body,
    encode,
    header_lines,
    headers,
)

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


def test_headers_say_which_events_these_are_and_when() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert headers(header_lines(Span(17, 2, 4), 3, moment, "00-ab-cd-01")) == {
        "Nats-Msg-Id": "17:2-4:3",
        "ce-specversion": "1.0",
        "ce-id": "17:2-4",
        "ce-source": "/playlog",
        "ce-type": "playlog.events.recorded",
        "ce-subject": "17",
        "ce-time": "2026-01-02T03:04:05.000000Z",
        "ce-datacontenttype": "application/json",
        "traceparent": "00-ab-cd-01",
    }


@pytest.mark.parametrize("trace", ["x\r\nb: y", "x\ny", "x\r", "\x00", "é", None])
def test_a_trace_that_would_break_the_headers_is_left_out(trace: str | None) -> None:
    assert "traceparent" not in headers(header_lines(Span(17, 2, 4), 3, datetime.now(UTC), trace))


@pytest.mark.parametrize("year", [1, 999, 2026, 9999])
@pytest.mark.parametrize("microsecond", [0, 1, 999_999, 500_000])
@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_a_time_is_always_utc_with_microseconds(year: int, microsecond: int, zone: timezone) -> None:
    moment = datetime(year, 6, 2, 13, 4, 5, microsecond, tzinfo=zone)
    hour = moment.astimezone(UTC).hour
    assert iso(moment) == f"{year:04}-06-02T{hour:02}:04:05.{microsecond:06}Z"
