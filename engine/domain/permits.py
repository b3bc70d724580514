"""Who gets a permit of a concurrency key: pure, from those that hold one, those in line and those that come.

Whoever has the higher priority, then whoever was issued first, is served first, and nobody is overtaken by
one that comes later. `cancel_newest` does not wait, and `cancel_running` takes the permit that has been held
for the longest time. Each command is served while fewer than its own limit hold permits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from engine.domain.decision import error
from engine.domain.definition import Strategy
from engine.domain.effects import Deliver
from engine.domain.ids import settled_event_id
from engine.domain.vocabulary import EventType


class Applicant(NamedTuple):
    """A command of a key; `is_new` if it is being issued, `is_ready` unless its execution is paused."""

    command_id: int
    execution_id: int
    step: str
    item: int | None
    attempt: int
    priority: int
    available_at: datetime
    limit: int
    strategy: Strategy = "queue"
    is_new: bool = False
    is_ready: bool = True


@dataclass(slots=True)
class Line:
    """How many commands hold permits of a key, those that have held them longest, and the first in line.

    `longest` has to be as long as there are newcomers that cancel. Whoever is in line and not among
    `waiting` comes after all of them.
    """

    holding: int = 0
    longest: list[Applicant] = field(default_factory=list)
    waiting: list[Applicant] = field(default_factory=list)


@dataclass(slots=True)
class Shares:
    """By command id: who gets a permit, who has to wait, who is withdrawn, and by which kind of event."""

    granted: dict[int, Applicant] = field(default_factory=dict)
    waiting: dict[int, Applicant] = field(default_factory=dict)
    withdrawn: dict[int, tuple[Applicant, EventType]] = field(default_factory=dict)


def share(line: Line, newcomers: Iterable[Applicant]) -> Shares:
    """Serve those in line and the newcomers of one key, once."""
    shares, holding, blocked = Shares(), line.holding, False
    longest = deque(line.longest)
    for each in sorted([*line.waiting, *newcomers], key=_turn):
        if not each.is_ready:
            shares.waiting[each.command_id] = each
        elif not blocked and holding < each.limit:
            holding += 1
            _grant(shares, longest, each)
        elif each.strategy == "cancel_newest":
            shares.withdrawn[each.command_id] = each, EventType.CONCURRENCY_REJECTED
        elif each.strategy == "cancel_running" and longest:
            preempted = longest.popleft()
            shares.granted.pop(preempted.command_id, None)
            shares.withdrawn[preempted.command_id] = preempted, EventType.COMMAND_CANCELLED
            _grant(shares, longest, each)
        else:
            shares.waiting[each.command_id] = each
            blocked = True
    return shares


def _turn(each: Applicant) -> tuple[int, datetime, int]:
    return -each.priority, each.available_at, each.command_id


def _grant(shares: Shares, longest: deque[Applicant], each: Applicant) -> None:
    shares.granted[each.command_id] = each
    longest.append(each)


def withdrawal(of: Applicant, kind: EventType) -> Deliver:
    """Tell an execution that a command of its is withdrawn: the one outcome of that command."""
    problem = error("cancelled", "a later command took over its permit of the concurrency key")
    if kind is EventType.CONCURRENCY_REJECTED:
        message = f"all permits of the concurrency key were taken, {of.limit} are allowed"
        problem = error("concurrency_rejected", message)
    return Deliver(
        target=of.execution_id,
        kind="withdraw",
        event_id=settled_event_id(of.command_id),
        payload={
            "event_type": kind.value,
            "command_id": str(of.command_id),
            "step": of.step,
            "item": of.item,
            "attempt": of.attempt,
            "error": problem,
        },
    )
