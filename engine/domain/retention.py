"""Retention on ids: ranges of executions, and the words for what keeps one from being purged."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Executions from `low` on, below `high`."""

    low: int
    high: int


class Ranges:
    """Ranges of executions, asked for one id after the other."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._ranges = _merged(ranges)

    def __contains__(self, execution_id: int) -> bool:
        place = bisect_right(self._ranges, execution_id, key=lambda each: each.low)
        return place > 0 and execution_id < self._ranges[place - 1].high


def _merged(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for each in sorted(ranges):
        if merged and each.low <= merged[-1].high:
            merged[-1] = Range(merged[-1].low, max(merged[-1].high, each.high))
        else:
            merged.append(each)
    return merged


_WORDS = {
    "live": ("execution {first} is live", "{number} executions are live, the oldest is {first}"),
    "recent": (
        "execution {first} has recorded something since then",
        "{number} executions have recorded something since then, the oldest is {first}",
    ),
    "outbox": (
        "1 outbox message waits, of execution {first}",
        "{number} outbox messages wait, oldest of execution {first}",
    ),
    "dead": (
        "1 outbox message is dead, of execution {first}",
        "{number} outbox messages are dead, oldest of execution {first}",
    ),
    "refill": ("1 shard is being refilled", "{number} shards are being refilled"),
    "delivery": (
        "1 delivery waits, to execution {first}",
        "{number} deliveries wait, oldest to execution {first}",
    ),
    "timer": ("1 timer waits, of execution {first}", "{number} timers wait, oldest execution is {first}"),
    "open_command": (
        "1 command is open, of execution {first}",
        "{number} commands are open, oldest execution is {first}",
    ),
    "closed_command": (
        "1 closed command is kept, of execution {first}",
        "{number} closed commands are kept, oldest execution is {first}",
    ),
}
REASONS = frozenset(_WORDS)
"""Everything but a hold that keeps executions in the log."""


def reason_text(what: str, number: int, first: int | None) -> str:
    """Word one of `REASONS`: how many things of it there are, and the execution to look at first."""
    one, many = _WORDS[what]
    return (one if number == 1 else many).format(number=number, first=first)


def hold_text(name: str, reason: str) -> str:
    """Word a hold."""
    return f"hold '{name}': {reason}"
