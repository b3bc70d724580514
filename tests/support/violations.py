"""The promises as functions: what breaks them in a log, a stream, snapshots and answers. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from engine.domain.vocabulary import TERMINAL_EVENTS, EventType
from tests.support.ledger import Asked, Ledger, OutboxLease

TERMINAL = {kind.value for kind in TERMINAL_EVENTS}
AFTER_THE_END = {EventType.COMMAND_LATE.value}
SETTLING = {EventType.COMMAND_COMPLETED.value, EventType.COMMAND_FAILED.value}


class Kind(StrEnum):
    """Which promise is broken."""

    ORDER = "order"
    TERMINAL = "terminal"
    ACKNOWLEDGED = "acknowledged"
    ANSWER = "answer"
    LEASE = "lease"
    OUTBOX = "outbox"
    STREAM = "stream"
    SNAPSHOT = "snapshot"
    BACKWARDS = "backwards"
    VACUOUS = "vacuous"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise and what it was seen at."""

    kind: Kind
    execution_id: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded event, as far as the promises speak of it."""

    version: int
    event_id: int
    event_type: str
    recorded_at: datetime
    command_id: int | None
    worker_id: str | None


@dataclass(frozen=True, slots=True)
class Head:
    """Where an execution stands; foreign ones are recorded and never decided."""

    version: int
    is_ended: bool
    is_foreign: bool


@dataclass(slots=True)
class Log:
    """Heads, and events in the order of their versions, by execution."""

    heads: dict[int, Head] = field(default_factory=dict)
    events: dict[int, list[Event]] = field(default_factory=lambda: defaultdict(list))

    @property
    def size(self) -> int:
        """The number of events."""
        return sum(map(len, self.events.values()))

    @property
    def ended(self) -> int:
        """The number of executions that have ended."""
        return sum(head.is_ended for head in self.heads.values())


@dataclass(frozen=True, slots=True)
class Published:
    """A message of the stream: (version, event_id) of its events."""

    execution_id: int
    events: tuple[tuple[int, int], ...]


def in_log(log: Log) -> Iterator[Violation]:
    """Versions 1..n up to the head, times that never fall, one terminal event at the end of a run."""
    for execution_id in log.events.keys() - log.heads.keys():
        yield Violation(Kind.ORDER, execution_id, "events without a head")
    for execution_id, head in log.heads.items():
        events = log.events.get(execution_id, [])
        versions = [event.version for event in events]
        if versions != list(range(1, head.version + 1)):
            yield Violation(Kind.ORDER, execution_id, f"head {head.version}, versions {versions}")
        if any(later.recorded_at < earlier.recorded_at for earlier, later in pairwise(events)):
            yield Violation(Kind.ORDER, execution_id, "recorded_at falls")
        if len({event.event_id for event in events}) < len(events):
            yield Violation(Kind.ORDER, execution_id, "an event id twice")
        if not head.is_foreign:
            yield from _ending(execution_id, head, events)


def _ending(execution_id: int, head: Head, events: Iterable[Event]) -> Iterator[Violation]:
    types = [event.event_type for event in events if event.event_type not in AFTER_THE_END]
    terminal = [kind for kind in types if kind in TERMINAL]
    if terminal != (types[-1:] if head.is_ended else []):
        yield Violation(Kind.TERMINAL, execution_id, f"ended: {head.is_ended}, types {types}")


def in_answers(log: Log, ledger: Ledger) -> Iterator[Violation]:
    """What was acknowledged is there, what is there was asked for, and nobody got two answers."""
    for key, answers in ledger.answers.items():
        if any(answer != answers[0] for answer in answers):
            yield Violation(Kind.ANSWER, None, f"{key}: {answers}")
    asked: dict[int, set[int]] = defaultdict(set)
    for request in ledger.asked:
        asked[request.execution_id] |= request.event_ids
        yield from _request(log, request)
    for execution_id, head in log.heads.items():
        recorded = {event.event_id for event in log.events.get(execution_id, [])}
        if head.is_foreign and execution_id in asked and not recorded <= asked[execution_id]:
            yield Violation(Kind.ACKNOWLEDGED, execution_id, "events that nobody sent")


def _request(log: Log, request: Asked) -> Iterator[Violation]:
    recorded = {event.event_id for event in log.events.get(request.execution_id, [])}
    missing = request.event_ids - recorded
    if request.acknowledged and missing:
        yield Violation(Kind.ACKNOWLEDGED, request.execution_id, f"acknowledged, missing: {sorted(missing)}")
    elif missing and missing != request.event_ids:
        yield Violation(Kind.ACKNOWLEDGED, request.execution_id, f"half of a request: {sorted(missing)}")


def in_results(log: Log, ledger: Ledger) -> Iterator[Violation]:
    """Each result that was taken is in the log, and settles only what its worker held."""
    told: dict[int, set[str | None]] = defaultdict(set)
    for execution_id, events in log.events.items():
        for event in events:
            if event.command_id is None:
                continue
            if event.event_type in SETTLING | AFTER_THE_END:
                told[event.command_id].add(event.worker_id)
            holder = ledger.holders.get(event.command_id)
            if event.event_type in SETTLING and holder is not None and event.worker_id != holder:
                detail = f"command {event.command_id} of {holder} was settled by {event.worker_id}"
                yield Violation(Kind.LEASE, execution_id, detail)
    for command_id, workers in ledger.results.items():
        for worker in workers - told[command_id]:
            yield Violation(Kind.ACKNOWLEDGED, None, f"command {command_id}: result of {worker} is missing")


def in_leases(leases: Iterable[OutboxLease]) -> Iterator[Violation]:
    """No message was in two hands at a time."""
    by_message: dict[int, list[OutboxLease]] = defaultdict(list)
    for lease in leases:
        by_message[lease.outbox_id].append(lease)
    for outbox_id, held in by_message.items():
        held.sort(key=lambda lease: lease.since)
        if any(later.since < earlier.until for earlier, later in pairwise(held)):
            yield Violation(Kind.LEASE, None, f"outbox message {outbox_id} was leased twice at a time")


def in_stream(log: Log, stream: Iterable[Published]) -> Iterator[Violation]:
    """Without its repetitions the stream is the log: no gap, no other content, each execution in order."""
    ids = {
        execution_id: {event.version: event.event_id for event in events}
        for execution_id, events in log.events.items()
    }
    seen: dict[int, int] = defaultdict(int)
    for message in stream:
        execution_id = message.execution_id
        for version, event_id in message.events:
            if version > seen[execution_id] + 1:
                detail = f"{version} came after {seen[execution_id]}"
                yield Violation(Kind.STREAM, execution_id, detail)
            seen[execution_id] = max(seen[execution_id], version)
            if ids.get(execution_id, {}).get(version) != event_id:
                yield Violation(Kind.STREAM, execution_id, f"version {version} is another event in the log")
    for execution_id, head in log.heads.items():
        if seen[execution_id] != head.version:
            detail = f"ends at {seen[execution_id]}, the log at {head.version}"
            yield Violation(Kind.STREAM, execution_id, detail)


def in_snapshots(log: Log, versions: Mapping[int, int], drifted: Iterable[int]) -> Iterator[Violation]:
    """Each snapshot is at its head's version and equals a fresh fold (`drifted` do not)."""
    for execution_id, head in log.heads.items():
        if versions.get(execution_id, 0) != head.version:
            detail = f"at {versions.get(execution_id, 0)}, the log at {head.version}"
            yield Violation(Kind.SNAPSHOT, execution_id, detail)
    for execution_id in versions.keys() - log.heads.keys():
        yield Violation(Kind.SNAPSHOT, execution_id, "a snapshot without a head")
    for execution_id in drifted:
        yield Violation(Kind.SNAPSHOT, execution_id, "differs from a fresh fold")


def in_sightings(ledger: Ledger) -> Iterator[Violation]:
    """No snapshot ever lost a version."""
    for execution_id, before, now in ledger.backwards:
        yield Violation(Kind.BACKWARDS, execution_id, f"from {before} to {now}")


def in_the_test(ledger: Ledger, log: Log, faults: int) -> Iterator[Violation]:
    """A run in which no fault fired or nothing was acknowledged proves nothing."""
    if not faults:
        yield Violation(Kind.VACUOUS, None, "no fault fired")
    if not ledger.acknowledged:
        yield Violation(Kind.VACUOUS, None, "nothing was acknowledged")
    if not log.size:
        yield Violation(Kind.VACUOUS, None, "the log is empty")
