"""What the items of a map gave, gathered from the log."""

from __future__ import annotations

from collections.abc import Iterable

from engine.domain.carried import carried_value
from engine.domain.events import RecordedEvent
from engine.domain.handles import MapKey
from engine.domain.vocabulary import EventType

Gathered = list[object]


def gather(key: MapKey, total: int, events: Iterable[RecordedEvent]) -> Gathered:
    """The outputs in item order, null for an item that was given up; or the errors of these, with their item.

    `events` may hold more than is wanted, in version order.
    """
    wanted = [
        event
        for event in events
        if event.step == key.step and event.item is not None and key.opened < event.version < key.closed
    ]
    if key.what == "errors":
        return [_error(event) for event in wanted if event.event_type == EventType.STEP_FAILED]
    outputs: Gathered = [None] * total
    for event in wanted:
        if event.event_type == EventType.COMMAND_COMPLETED and event.item is not None:
            outputs[event.item] = carried_value(event.event_type, event.payload)
    return outputs


def _error(event: RecordedEvent) -> dict[str, object]:
    error = carried_value(event.event_type, event.payload)
    return {"item": event.item, **(error if isinstance(error, dict) else {})}
