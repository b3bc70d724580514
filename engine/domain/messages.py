"""A message of the stream: consecutive events of one execution, with the headers that make it traceable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from engine.domain.events import iso
from engine.domain.subjects import message_id

EVENT_TYPE = "playlog.events.recorded"
SOURCE = "/playlog"


@dataclass(frozen=True, slots=True)
class Span:
    """Which events of which execution a message carries: both versions included."""

    execution_id: int
    first_version: int
    last_version: int


def headers(span: Span, generation: int, moment: datetime, traceparent: str | None) -> dict[str, str]:
    """The headers of a message: the id that makes a publish repeatable, the trace, and CloudEvents'.

    `moment` is when the events were recorded. The CloudEvents id does not change with the generation:
    published again, it is still the same event.
    """
    found = {
        "Nats-Msg-Id": message_id(span.execution_id, span.first_version, span.last_version, generation),
        "ce-specversion": "1.0",
        "ce-id": f"{span.execution_id}:{span.first_version}-{span.last_version}",
        "ce-source": SOURCE,
        "ce-type": EVENT_TYPE,
        "ce-subject": str(span.execution_id),
        "ce-time": iso(moment),
        "ce-datacontenttype": "application/json",
    }
    if traceparent is not None:
        found["traceparent"] = traceparent
    return found


def body(
    span: Span, definition_hash: bytes | None, path: str | None, events: Iterable[Mapping[str, object]]
) -> bytes:
    """The body of a message; `events` have the JSON shape of `to_json`."""
    return orjson.dumps(
        {
            "execution_id": str(span.execution_id),
            "definition_hash": None if definition_hash is None else definition_hash.hex(),
            "path": path,
            "first_version": span.first_version,
            "last_version": span.last_version,
            "events": list(events),
        }
    )
