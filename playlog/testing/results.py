"""What scripted tools give: values, failures, lost workers, each after a time, by attempt or by function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from engine.language import durations


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt of a tool as its worker sees it; `input` is rendered, `at` the time since the start.

    `item` is the index in a map, `iteration` the round of a repeat (from 1); `undoing` says that this is the
    call which compensates the step.
    """

    step: str
    input: Any
    attempt: int
    item: int | None = None
    iteration: int | None = None
    undoing: bool = False
    at: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Failure:
    """The attempt fails with this error."""

    error: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Loss:
    """The worker disappears, and its lease runs out."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """What comes of an attempt that takes so many seconds."""

    seconds: float
    result: object


@dataclass(frozen=True, slots=True)
class InTurn:
    """One result an attempt."""

    results: tuple[object, ...]


Outcome: TypeAlias = object
"""A JSON value, or what `fail`, `lose`, `takes` or `in_turn` gives."""

Result: TypeAlias = Outcome | Callable[[Call], Outcome]


def fail(code: str, message: str = "", **more: object) -> Failure:
    """The attempt fails; guards see `error.code` and what else is given, for example `status=503`."""
    return Failure({"code": code, "message": message or f"{code}, as scripted", **more})


def lose() -> Loss:
    """The worker disappears: its lease runs out, and the attempt is made again without using up a try."""
    return Loss()


def takes(duration: str | timedelta, result: Outcome = None) -> Lasting:
    """The attempt takes a virtual time such as `3m`; beyond the step's `timeout` it is timed out."""
    return Lasting(seconds_of(duration), result)


def in_turn(*results: Outcome) -> InTurn:
    """The results of the first attempt, the second and so on, for every item of a map anew.

    A list with `fail`, `lose` or `takes` among its elements means the same; any other list is a value.
    """
    return InTurn(results)


def seconds_of(duration: str | timedelta) -> float:
    """A duration in seconds; as text it is written as in playbooks. Raises `ValueError`."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    try:
        return durations.seconds(durations.normalize(duration))
    except ValueError as error:
        raise ValueError(f"{duration!r} {error}: write `90s`, `3m`, `2h` or `1d`") from None


@dataclass(frozen=True, slots=True)
class Script:
    """What the tools of one playbook give, by the name of the step, and what their compensations give."""

    results: Mapping[str, object] = field(default_factory=dict)
    undoings: Mapping[str, object] = field(default_factory=dict)

    def has(self, step: str, *, undoing: bool = False) -> bool:
        """Whether something is scripted for a step, or for undoing it."""
        return step in (self.undoings if undoing else self.results)

    def answer(self, call: Call) -> object:
        """What comes of a call: a value, `Failure`, `Loss`, or `Lasting` with one of these."""
        found = (self.undoings if call.undoing else self.results)[call.step]
        if callable(found):
            found = found(call)
        if isinstance(found, list) and any(isinstance(each, Failure | Loss | Lasting) for each in found):
            found = InTurn(tuple(found))
        if not isinstance(found, InTurn):
            return found
        if call.attempt > len(found.results):
            many = len(found.results)
            raise AssertionError(
                f"{call.step} is tried for the {call.attempt}th time, and {many} results are scripted for it"
            )
        return found.results[call.attempt - 1]
