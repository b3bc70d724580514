"""A message of the stream: what one append added to one execution, as the write side worded it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from engine.domain.events import RecordedEvent, from_json
from engine.domain.ids import parse_id


class UnreadableMessage(ValueError):  # noqa: N818  # named as the fact it reports
    """The bytes are no message of events."""


@dataclass(frozen=True, slots=True)
class Message:
    """Events of one execution with consecutive versions; without a definition hash it is foreign."""

    execution_id: int
    definition_hash: bytes | None
    events: tuple[RecordedEvent, ...]

    @property
    def first_version(self) -> int:
        """The version of the first event."""
        return self.events[0].version

    @property
    def last_version(self) -> int:
        """The version of the last event."""
        return self.events[-1].version


def parse_message(body: bytes) -> Message:
    """Read the body of a message; raises `UnreadableMessage`."""
    try:
        message = _message(orjson.loads(body))
    except (LookupError, TypeError, ValueError) as error:
        raise UnreadableMessage(f"{type(error).__name__}: {error}") from error
    versions = [event.version for event in message.events]
    if not versions or versions != list(range(versions[0], versions[0] + len(versions))):
        raise UnreadableMessage("the versions are not consecutive")
    return message


def _message(body: Mapping[str, object]) -> Message:
    execution_id = parse_id(body["execution_id"])
    definition_hash, events = body["definition_hash"], body["events"]
    if execution_id is None or not isinstance(events, list):
        raise UnreadableMessage("execution_id or events are missing")
    return Message(
        execution_id=execution_id,
        definition_hash=None if definition_hash is None else bytes.fromhex(str(definition_hash)),
        events=tuple(from_json(execution_id, event) for event in events),
    )


def execution_of(subject: str) -> int | None:
    """The execution that a subject names, `playlog.events.<shard>.<execution_id>`, if it does."""
    return parse_id(subject.rpartition(".")[2])
