"""What happened to an execution, a line an event, for people who read a failed test."""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson

from engine.domain.events import RecordedEvent
from playlog.testing.stream import MemoryStream

MOST_LINES = 60
MOST_CHARACTERS = 100
TOLD = ("error", "output", "data", "reason", "next", "event", "until", "inputs", "count", "name", "timer")


def told(stream: MemoryStream, began: datetime) -> str:
    """The events of an execution with the time since the beginning; of a long log the last ones."""
    shown = stream.log[-MOST_LINES:]
    lines = [] if len(shown) == len(stream.log) else [f"  ... {len(stream.log) - len(shown)} events before"]
    lines += [_line(event, began) for event in shown]
    return "\n".join([f"{stream.definition.path} is {stream.state.status}:", *lines])


def span(time: timedelta) -> str:
    """A time as people say it: `0s`, `90ms`, `1h 30m`, `2d 1s`."""
    milliseconds = round(time / timedelta(milliseconds=1))
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def _line(event: RecordedEvent, began: datetime) -> str:
    step = "" if event.step is None else event.step
    where = step if event.item is None else f"{step}[{event.item}]"
    attempt = "" if event.attempt is None else f" attempt {event.attempt}"
    line = (
        f"  +{span(event.recorded_at - began):<10} {event.event_type:<22} {where:<16}{attempt}{_said(event)}"
    )
    return line.rstrip()


def _said(event: RecordedEvent) -> str:
    payload = event.payload if isinstance(event.payload, dict) else {}
    found = {key: payload[key] for key in TOLD if payload.get(key) is not None}
    if not found:
        return ""
    text = orjson.dumps(found).decode()
    return f" {text}" if len(text) <= MOST_CHARACTERS else f" {text[:MOST_CHARACTERS]}..."
