"""Names on the broker: where an execution's events go, and the id that makes a publish repeatable."""

from __future__ import annotations

from engine.domain.ids import shard_of

EVENTS_PREFIX = "playlog.events"


def event_subject(execution_id: int) -> str:
    """`playlog.events.<shard>.<execution_id>`."""
    return f"{EVENTS_PREFIX}.{shard_of(execution_id)}.{execution_id}"


def message_id(execution_id: int, first_version: int, last_version: int, generation: int) -> str:
    """The stable id of a message; a new generation is published again although the broker knows the old."""
    return f"{execution_id}:{first_version}-{last_version}:{generation}"
