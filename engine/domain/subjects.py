"""Names on the broker: where an execution's events go, and the id that makes a publish repeatable."""

from __future__ import annotations

from engine.domain.ids import shard_of

EVENTS_PREFIX = "playlog.events"
APPENDED_TOPIC = "appended"
"""Wakes with pairs of execution and version: the log holds that version now."""
STEP_LOGS_TOPIC = "step_logs"
"""Wakes with pairs of execution and a number that grows: it has new log lines."""


def event_subject(execution_id: int) -> str:
    """`playlog.events.<shard>.<execution_id>`."""
    return f"{EVENTS_PREFIX}.{shard_of(execution_id)}.{execution_id}"


def message_id(execution_id: int, first_version: int, last_version: int, generation: int) -> str:
    """The stable id of a message; a new generation is published again although the broker knows the old."""
    return f"{execution_id}:{first_version}-{last_version}:{generation}"


def generation_of(message_id: str) -> int:
    """The generation in the id of a message, 0 when there is none."""
    number = message_id.rpartition(":")[2]
    return int(number) if number.isascii() and number.isdigit() else 0
