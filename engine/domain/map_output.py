"""What the items of a map gave, gathered from the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from engine.domain.events import RecordedEvent
from engine.domain.handles import MapKey, Place, Referring, held_value
from engine.domain.vocabulary import EventType, ExecutionStatus

OUTPUT_EVENTS = frozenset({EventType.COMMAND_COMPLETED, EventType.CHILD_COMPLETED})
ERROR_EVENTS = frozenset({EventType.STEP_FAILED})


class ItemEvent(NamedTuple):
    """What an event tells of an item."""

    item: int
    event_type: str
    payload: object


def types_of(key: MapKey) -> frozenset[EventType]:
    """The types of the events that hold what is wanted."""
    return ERROR_EVENTS if key.what == "errors" else OUTPUT_EVENTS


def gather(key: MapKey, total: int, events: Iterable[RecordedEvent]) -> object:
    """What a map gave, from its execution's events in version order; there may be more than are wanted."""
    return gathered(key, total, item_events(key, events))


def item_events(key: MapKey, events: Iterable[RecordedEvent]) -> list[ItemEvent]:
    """What events tell of the items of a map."""
    return [
        ItemEvent(event.item, event.event_type, event.payload)
        for event in events
        if event.step == key.step and event.item is not None and key.opened < event.version < key.closed
    ]


def gathered(key: MapKey, total: int, events: Iterable[ItemEvent]) -> object:
    """The outputs of `total` items, null for one that was given up, or the errors of these; in item order.

    Parts that are kept as payloads stay references, told by `Referring`. With a single item it is its output
    alone.
    """
    types = types_of(key)
    wanted = [event for event in events if event.event_type in types]
    if key.what == "errors":
        return [_error(event) for event in sorted(wanted, key=lambda event: event.item)]
    outputs: list[object] = [None] * total
    places: list[Place] = []
    for event in wanted:
        if _has_failed(event):
            continue
        held = held_value(event.event_type, event.payload)
        if isinstance(held, Referring):
            places += [(event.item, *place) for place in held.places]
            held = held.value
        outputs[event.item] = held
    if key.item is not None:
        return _with_places(outputs[key.item], [place[1:] for place in places if place[0] == key.item])
    return _with_places(outputs, places)


def _with_places(value: object, places: list[Place]) -> object:
    return Referring(value, places) if places else value


def _has_failed(event: ItemEvent) -> bool:
    """Whether a child has ended in another way than by completing; the item may have been tried again."""
    told = event.payload if isinstance(event.payload, dict) else {}
    is_child = event.event_type == EventType.CHILD_COMPLETED
    return is_child and told.get("status") != ExecutionStatus.COMPLETED


def _error(event: ItemEvent) -> dict[str, object]:
    error = event.payload.get("error") if isinstance(event.payload, dict) else None
    return {"item": event.item, **(error if isinstance(error, dict) else {})}
