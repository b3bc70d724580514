"""What an append adds to one execution, encoded event by event: rows of the log and messages."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from engine.domain.events import RecordedEvent
from engine.domain.messages import Draft, encode

EventRow = tuple[object, ...]

EVENT_COLUMNS = (
    *("execution_id", "version", "event_id", "event_type", "step", "attempt", "item", "status"),
    *("payload", "meta", "content_hash", "command_id", "causation_id", "traceparent"),
    *("created_at", "recorded_at"),
)


@dataclass(slots=True)
class Sheet:
    """Rows in version order, with the columns of EVENT_COLUMNS, and the same events in messages.

    `sizes` are the bytes of the payloads by version.
    """

    rows: list[EventRow] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)

    def add(self, event: RecordedEvent, content_hash: bytes, payload: bytes | None) -> None:
        """Take the next event; `payload` is its payload's JSON, where somebody has encoded it already.

        A message has at most 512 KiB, or one event where that is larger.
        """
        if payload is None:
            payload = orjson.dumps(event.payload)
        self.rows.append(_row(event, content_hash, payload))
        self.sizes[event.version] = len(payload)
        encoded = encode(event, payload)
        draft = self.drafts[-1] if self.drafts else None
        if draft is None or not draft.takes(encoded):
            draft = Draft()
            self.drafts.append(draft)
        draft.add(event, encoded)


def _row(event: RecordedEvent, content_hash: bytes, payload: bytes) -> EventRow:
    return (
        event.execution_id,
        event.version,
        event.event_id,
        event.event_type,
        event.step,
        event.attempt,
        event.item,
        event.status,
        None if event.payload is None else payload.decode(),
        None if event.meta is None else orjson.dumps(event.meta).decode(),
        content_hash,
        event.command_id,
        event.causation_id,
        event.traceparent,
        event.created_at,
        event.recorded_at,
    )
