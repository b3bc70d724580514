"""One execution in memory: its log, its state, and what deciding lacks supplied from both."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import chain

import orjson

from engine.domain.admit import DUPLICATE, Admission, CommandFact, Origin, admit
from engine.domain.advance import Progress, advance, record
from engine.domain.definition import Definition
from engine.domain.events import NewEvent, RecordedEvent
from engine.domain.execution import Execution, initial
from engine.domain.handles import (
    MapKey,
    PayloadKey,
    Place,
    Referring,
    held_value,
    parse_map_uri,
    parse_uri,
    reference_at,
    replaced,
)
from engine.domain.map_output import gather
from engine.domain.normalize import SETTLING
from engine.domain.scope import Lacking, Supply

INLINE_BYTES = 64 * 1024
"""A larger output is kept apart, as workers do."""


@dataclass(slots=True, kw_only=True)
class MemoryStream:
    """An execution that nobody else writes to.

    Values and payloads are forgotten after each append, so that deciding must ask for what it reads; `read`
    lists the payloads it asked for. `ids` are fresh ones for commands and children, `others` the executions
    whose payloads it may be handed.
    """

    execution_id: int
    definition: Definition
    ids: Iterator[int]
    others: Mapping[int, MemoryStream] = field(default_factory=dict)
    log: list[RecordedEvent] = field(default_factory=list)
    payloads: dict[str, object] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    state: Execution = field(init=False)
    _recorded: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.state = initial(self.execution_id, self.definition.hash)

    def judge(self, event: NewEvent, now: datetime, command: CommandFact | None = None) -> Admission:
        """Whether an event of the engine may enter now; one whose id is recorded is a duplicate."""
        if event.event_type not in SETTLING and event.event_id in self._recorded:
            return DUPLICATE
        admission = admit(self.state, event, Origin.ENGINE, now, command)
        repeated = admission.event is not None and admission.event.event_id in self._recorded
        return DUPLICATE._replace(effects=admission.effects) if repeated else admission

    def enter(self, admission: Admission, now: datetime) -> Progress:
        """Record what was admitted and decide until nothing is due, as one append does."""
        progress = Progress(effects=list(admission.effects))
        supply = Supply(now=now, ids=deque())
        if admission.event is not None:
            record(self.state, admission.event, supply, progress)
            supply.values.clear()
        self._advance(supply, progress)
        self.log += progress.events
        self._recorded.update(event.event_id for event in progress.events)
        return progress

    def result_of(self, value: object, size: int | None = None) -> dict[str, object]:
        """What a worker says of an output: itself, or where it is kept when it is large or said to be."""
        body = orjson.dumps(value)
        if size is None and len(body) <= INLINE_BYTES:
            return {"data": value}
        key = PayloadKey(self.execution_id, sha256(body).digest())
        self.payloads[key.uri] = value
        return {"reference": {"kind": "ref", "uri": key.uri, "bytes": len(body) if size is None else size}}

    def opened(self, value: object, places: Iterable[Place]) -> object:
        """A value with what is kept apart at these places, as a worker gets it."""
        for place in places:
            uri = reference_at(value, place)["uri"]
            value = replaced(value, [(place, self._whole(self._payload(uri, self.log)))])
        return value

    def carried(self, event: RecordedEvent) -> object:
        """The value that an event carries, whole."""
        return self._whole(held_value(event.event_type, event.payload))

    def output(self, name: str) -> object:
        """The output of a completed step, whole."""
        step = self.state.steps[name]
        if step.output is None:
            return None
        if step.map is None:
            return self.carried(self.log[step.output.version - 1])
        key = MapKey(self.execution_id, name, step.map.items.version, step.output.version)
        return self._whole(self._payload(key.uri, self.log))

    def _whole(self, value: object) -> object:
        return self.opened(value.value, value.places) if isinstance(value, Referring) else value

    def _payload(self, uri: str, events: Iterable[RecordedEvent]) -> object:
        """What is kept under an address: a large output, or what the items of a map gave."""
        key = parse_map_uri(uri)
        owner = key or parse_uri(uri)
        if owner is not None and owner.execution_id != self.execution_id:
            other = self.others[owner.execution_id]
            return other._payload(uri, other.log)  # noqa: SLF001  # of the same class
        if key is None:
            return self.payloads[uri]
        told = list(events)
        return gather(key, _total(key, told), told)

    def _advance(self, supply: Supply, progress: Progress) -> None:
        while True:
            try:
                advance(self.state, self.definition, supply, progress)
            except Lacking as lacking:
                self._supply(lacking, supply, progress)
            else:
                return

    def _supply(self, lacking: Lacking, supply: Supply, progress: Progress) -> None:
        for version in lacking.versions:
            place = version - 1 - len(self.log)
            event = self.log[place] if place < 0 else progress.events[place]
            supply.values[version] = held_value(event.event_type, event.payload)
        for uri in lacking.payloads:
            supply.payloads[uri] = self._payload(uri, chain(self.log, progress.events))
        self.read += lacking.payloads
        supply.ids.extend(next(self.ids) for _ in range(lacking.ids))


def _total(key: MapKey, events: Iterable[RecordedEvent]) -> int:
    """How many items a map has; the step may have begun anew since."""
    opened = next(event.payload for event in events if event.version == key.opened)
    if not isinstance(opened, dict):
        raise TypeError(f"no map was opened at version {key.opened}")
    return int(opened["count"])
