"""A message of the stream: consecutive events of one execution, with the headers that make it traceable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from engine.domain.events import RecordedEvent, iso, shape
from engine.domain.subjects import message_id

EVENT_TYPE = "playlog.events.recorded"
SOURCE = "/playlog"
MESSAGE_BYTES = 512 * 1024
ENVELOPE_BYTES = 2 * 1024
"""More than the body of a message without events ever has."""


class Span(NamedTuple):
    """Which events of which execution a message carries: both versions included."""

    execution_id: int
    first_version: int
    last_version: int


def header_lines(span: Span, generation: int, moment: datetime, traceparent: str | None) -> bytes:
    r"""The headers of a message as `Name: value\r\n` lines: its id, CloudEvents' own, and the trace.

    The id makes a publish repeatable. `moment` is when the events were recorded. The CloudEvents id does
    not change with the generation: published again, it is still the same event. A trace that would break
    the lines is left out.
    """
    execution_id, first, last = span
    trace = ""
    if traceparent is not None and traceparent.isascii() and traceparent.isprintable():
        trace = f"traceparent: {traceparent}\r\n"
    return (
        f"Nats-Msg-Id: {message_id(execution_id, first, last, generation)}\r\n"
        f"ce-specversion: 1.0\r\nce-id: {execution_id}:{first}-{last}\r\nce-source: {SOURCE}\r\n"
        f"ce-type: {EVENT_TYPE}\r\nce-subject: {execution_id}\r\nce-time: {iso(moment)}\r\n"
        f"ce-datacontenttype: application/json\r\n{trace}"
    ).encode()


def headers(lines: bytes) -> dict[str, str]:
    """What `header_lines` made, by name."""
    return dict(line.split(": ", 1) for line in lines.decode().splitlines())


@dataclass(slots=True)
class Draft:
    """Consecutive events of one execution, with their JSON, that are to become one message."""

    events: list[RecordedEvent] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list)
    size: int = ENVELOPE_BYTES

    def takes(self, encoded: bytes) -> bool:
        """Whether the message stays within 512 KiB with this event too; the first one always fits."""
        return not self.events or self.size + len(encoded) < MESSAGE_BYTES

    def add(self, event: RecordedEvent, encoded: bytes) -> None:
        """Take the next event; `encoded` is what `encode` makes of it."""
        self.events.append(event)
        self.encoded.append(encoded)
        self.size += len(encoded) + 1

    @property
    def span(self) -> Span:
        """Which events these are; there must be one."""
        return Span(self.events[0].execution_id, self.events[0].version, self.events[-1].version)

    def body(self, definition_hash: bytes | None, path: str | None) -> bytes:
        """The body of the message."""
        return body(self.span, definition_hash, path, self.encoded)


def encode(event: RecordedEvent, payload: bytes) -> bytes:
    """An event as it stands in a message; `payload` is the JSON of its payload."""
    shown = shape(event, orjson.Fragment(payload), _time(event.created_at), _time(event.recorded_at))
    return orjson.dumps(shown, option=orjson.OPT_UTC_Z)


def _time(moment: datetime) -> datetime | str:
    """What orjson writes as `iso` does, at a third of the cost, unless it would cut the zeros."""
    return moment if moment.microsecond and moment.tzinfo is UTC else iso(moment)


def body(span: Span, definition_hash: bytes | None, path: str | None, events: Iterable[bytes]) -> bytes:
    """The body of a message; `events` are what `encode` makes of each."""
    return orjson.dumps(
        {
            "execution_id": str(span.execution_id),
            "definition_hash": None if definition_hash is None else definition_hash.hex(),
            "path": path,
            "first_version": span.first_version,
            "last_version": span.last_version,
            "events": orjson.Fragment(b"[" + b",".join(events) + b"]"),
        }
    )
