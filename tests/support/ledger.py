"""What callers asked for and were told, kept by the test so that it can be held against the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Asked:
    """Events that belong to one request for one execution: all of them are in the log, or none."""

    execution_id: int
    event_ids: frozenset[int]
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class OutboxLease:
    """A message in a claimer's hands, by the database's clock."""

    outbox_id: int
    since: datetime
    until: datetime


@dataclass(slots=True)
class Ledger:
    """Requests, answers and sightings.

    `answers` holds every answer to a request that was repeated with the same key; `holders` the worker
    with the newest acknowledged claim of a command; `results` the workers whose result for a command was
    taken; `backwards` the snapshots that were seen to lose versions.
    """

    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, list[object]] = field(default_factory=lambda: defaultdict(list))
    holders: dict[int, str] = field(default_factory=dict)
    results: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    outbox_leases: list[OutboxLease] = field(default_factory=list)
    seen: dict[int, int] = field(default_factory=dict)
    backwards: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        """How much has been acknowledged, in requests of any kind."""
        return (
            sum(request.acknowledged for request in self.asked)
            + sum(map(len, self.answers.values()))
            + sum(map(len, self.results.values()))
            + len(self.holders)
            + len(self.outbox_leases)
        )

    def ask(self, execution_id: int, event_ids: Iterable[int]) -> Asked:
        """Note a request before it is made; set `acknowledged` when its answer is there."""
        request = Asked(execution_id, frozenset(event_ids))
        self.asked.append(request)
        return request

    def saw(self, versions: Mapping[int, int]) -> None:
        """Note the versions of all snapshots at one moment."""
        for execution_id, before in self.seen.items():
            now = versions.get(execution_id, 0)
            if now < before:
                self.backwards.append((execution_id, before, now))
        self.seen = dict(versions)
