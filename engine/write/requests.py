"""What is asked of an append, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import orjson

from engine.domain.admit import Admission, Origin, Verdict
from engine.domain.events import NewEvent

UNKNOWN_EXECUTION = "unknown_execution"
CONFLICT = "conflict"
"""The code of an event whose id is recorded with another content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHead:
    """The head of an execution that its first event starts."""

    definition_hash: bytes
    path: str
    playbook_version: int
    parent_id: int | None
    pool: str
    priority: int
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's idempotency key: the first request with it wins, later ones get its answer."""

    scope: str
    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Events for one execution, to be judged and recorded in order.

    `head` starts the execution. `keys` are claimed in the same transaction. `delivery_id` is the row
    that this request carries out and deletes; without the row nothing is judged and there are no verdicts.
    """

    execution_id: int
    events: tuple[NewEvent, ...]
    origin: Origin = Origin.OUTSIDE
    head: NewHead | None = None
    keys: tuple[Key, ...] = ()
    delivery_id: int | None = None

    @property
    def payload_bytes(self) -> int:
        """How large the payloads are together, as JSON; 0 when they are none, as the append will find."""
        known = [event.encoded for event in self.events if event.encoded is not None]
        if len(known) == len(self.events):
            return sum(map(len, known))
        try:
            return len(orjson.dumps([event.payload for event in self.events]))
        except TypeError:
            return 0


@dataclass(frozen=True, slots=True)
class Known:
    """An earlier request had the same key: what it started, and whether it asked for the same."""

    scope: str
    key: str
    execution_id: int
    version: int
    status: str
    same_request: bool


@dataclass(slots=True)
class Outcome:
    """The committed answer to a request: one verdict an event, then where the execution stands."""

    execution_id: int
    verdicts: list[Admission] = field(default_factory=list)
    version: int = 0
    status: str = ""
    known: Known | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether there is no such execution."""
        return any(admission.code == UNKNOWN_EXECUTION for admission in self.verdicts)

    @property
    def is_refused(self) -> bool:
        """Whether an event was rejected, but not as a repeat of one that is recorded."""
        return any(
            admission.verdict is Verdict.REJECTED and admission.code != CONFLICT
            for admission in self.verdicts
        )

    def count(self, verdict: Verdict) -> int:
        """How many events of the request got this verdict."""
        return sum(admission.verdict is verdict for admission in self.verdicts)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A stored message to another execution."""

    delivery_id: int
    target: int
    kind: str
    event_id: int
    payload: dict[str, object]


@dataclass(slots=True)
class Committed:
    """What one transaction changed, for those who wake others after its commit."""

    versions: dict[int, int] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    pools: dict[str, int] = field(default_factory=dict)
    shards: set[int] = field(default_factory=set)
    deliveries: list[Delivery] = field(default_factory=list)
