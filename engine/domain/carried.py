"""Which value an event carries."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.vocabulary import EventType, known_type

KEYS: Mapping[EventType, str] = {
    EventType.EXECUTION_STARTED: "inputs",
    EventType.COMMAND_COMPLETED: "data",
    EventType.COMMAND_FAILED: "data",
    EventType.SIGNAL_RECEIVED: "data",
    EventType.MAP_OPENED: "items",
}
ENDINGS = frozenset({EventType.EXECUTION_COMPLETED, EventType.CHILD_COMPLETED})


def carried_value(event_type: str, payload: object) -> object:
    """The value that a pointer to such an event means: an output, an error, inputs, items or a signal."""
    if not isinstance(payload, Mapping):
        return payload
    kind = known_type(event_type)
    if kind is EventType.COMMAND_COMPLETED and "reference" in payload:
        return {"reference": payload["reference"]}
    if kind in ENDINGS and "output" in payload:
        return payload["output"]
    return payload.get("error" if kind is None else KEYS.get(kind, "error"))
