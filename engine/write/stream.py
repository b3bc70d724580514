"""One execution inside one append: judge its events, record them, decide; no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.domain.admit import (
    DUPLICATE,
    RECORDED,
    Admission,
    CommandFact,
    Origin,
    admit,
    admit_foreign,
    rejected,
)
from engine.domain.advance import Progress, advance, record
from engine.domain.definition import Definition
from engine.domain.events import NewEvent, RecordedEvent, content_hash
from engine.domain.execution import Execution
from engine.domain.ids import derive_id, settled_event_id
from engine.domain.normalize import SETTLING
from engine.domain.scope import Lacking, Supply
from engine.errors import PlaylogError
from engine.write.cache import Remembered
from engine.write.requests import CONFLICT, NewHead, Outcome, Request
from engine.write.sheet import Sheet

CONFLICTING = rejected(CONFLICT, "the event id is recorded with another content")


@dataclass(slots=True, kw_only=True)
class Stream:
    """An execution's part of a transaction. `known` maps recorded event ids to their content hash.

    `fault` says why there is no definition: then nothing may be recorded that has to be decided.
    """

    execution_id: int
    requests: list[tuple[Request, Outcome]]
    remembered: Remembered
    supply: Supply = field(init=False)
    head: NewHead | None = None
    definition: Definition | None = None
    fault: Exception | None = None
    known: dict[int, bytes] = field(default_factory=dict)
    facts: dict[int, CommandFact] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    sheet: Sheet = field(default_factory=Sheet)

    @property
    def state(self) -> Execution:
        """The state under the head's lock."""
        return self.remembered.state

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.progress.events or self.progress.effects)

    def use(self, definition: Definition | Exception) -> None:
        """Decide by this definition, or not at all where it cannot be had."""
        if isinstance(definition, Definition):
            self.definition = definition
        else:
            self.fault = definition

    def work(self) -> Iterator[Lacking]:
        """Judge, record and decide event by event, so that any split of a batch gives the same log.

        Yields what deciding lacks; the caller supplies it and goes on.
        """
        for request, outcome in self.requests:
            if self.state.is_foreign:
                outcome.verdicts += [self._store(request.origin, event) for event in request.events]
                continue
            for event in request.events:
                outcome.verdicts.append(self._enter(request, event))
                yield from self._advance()

    def _store(self, origin: Origin, event: NewEvent) -> Admission:
        """Record an event of another system's execution, where nothing is decided, unless it is a repeat."""
        hashed = content_hash(event)
        known = self.known.get(event.event_id or 0)
        if known is not None:
            return DUPLICATE if known == hashed else CONFLICTING
        admission = admit_foreign(event, origin)
        if admission is not RECORDED:
            return admission
        recorded = record(self.state, event, self.supply, self.progress)
        self.sheet.add(recorded, hashed, event.encoded)
        self.known[recorded.event_id] = hashed
        return RECORDED

    def _enter(self, request: Request, event: NewEvent) -> Admission:
        command = None if event.command_id is None else self.facts.get(event.command_id)
        event = enriched(event, command)
        repeat = self._repeat_of(event)
        if repeat is DUPLICATE or (repeat is not None and event.event_type not in SETTLING):
            return repeat
        admission = admit(self.state, event, request.origin, self.supply.now, command)
        self.progress.effects += admission.effects
        if admission.event is None:
            return admission
        repeat = self._repeat_of(admission.event)
        if repeat is None:
            self._record(admission.event)
        return repeat or admission

    def _repeat_of(self, event: NewEvent) -> Admission | None:
        """What an event is whose id is recorded: the same again, or another under its id."""
        recorded = None if event.event_id is None else self.known.get(event.event_id)
        if recorded is None:
            return None
        return DUPLICATE if recorded == content_hash(event) else CONFLICTING

    def _record(self, event: NewEvent) -> None:
        recorded = record(self.state, event, self.supply, self.progress)
        self._write(recorded, event.encoded)

    def _write(self, recorded: RecordedEvent, encoded: bytes | None = None) -> None:
        hashed = content_hash(recorded)
        self.sheet.add(recorded, hashed, encoded)
        self.known[recorded.event_id] = hashed

    def _advance(self) -> Iterator[Lacking]:
        if self.fault is not None and self.state.agenda and not self.state.is_ended:
            raise PlaylogError(f"its definition cannot be used: {self.fault}") from self.fault
        while True:
            try:
                advance(self.state, self.definition, self.supply, self.progress)
            except Lacking as lacking:
                yield lacking
            else:
                break
        for recorded in self.progress.events[len(self.sheet.rows) :]:
            self._write(recorded)


def enriched(event: NewEvent, command: CommandFact | None) -> NewEvent:
    """A settling event with the step of its command and the one id its outcome can have."""
    if event.event_type not in SETTLING or event.command_id is None:
        return event
    event = event._replace(event_id=settled_event_id(event.command_id))
    if command is None:
        return event
    return event._replace(step=command.step, attempt=command.attempt, item=command.item)


def ids_to_probe(event: NewEvent) -> list[int]:
    """The event ids whose presence in the log of a native execution decides whether this is a repeat."""
    if event.event_type in SETTLING and event.command_id is not None:
        ids = [settled_event_id(event.command_id)]
        if event.lease_token is not None:
            ids.append(derive_id("late", event.command_id, event.lease_token))
        return ids
    return [] if event.event_id is None else [event.event_id]


def needs_probe(event: NewEvent, state: Execution) -> bool:
    """Whether the state of a native execution alone cannot tell that the event is new."""
    if event.event_type in SETTLING:
        return event.command_id not in state.commands
    return state.version > 0
