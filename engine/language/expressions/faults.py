"""What the compiler finds wrong with a source: every fault with its place and, where there is one, a hint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import Invalid
from engine.language.near import nearest

_LONGEST_GUESS = 64
_MOST_LISTED = 8


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; `line` and `column` count from 1 in code points of the source."""

    message: str
    line: int
    column: int
    hint: str | None = None

    def __str__(self) -> str:
        hint = "" if self.hint is None else f", {self.hint}"
        return f"{self.line}:{self.column}: {self.message}{hint}"


class ExpressionFault(Invalid):
    """A source is no expression of this language.

    `faults` holds all that were found, in the order of the source; `message`, `line`, `column` and `hint`
    are those of the first.
    """

    code = "invalid_expression"

    def __init__(self, first: Fault, *others: Fault) -> None:
        self.faults = (first, *others)
        self.message = first.message
        self.line = first.line
        self.column = first.column
        self.hint = first.hint
        super().__init__("; ".join(str(fault) for fault in self.faults))


def fault_at(source: str, at: int, message: str, hint: str | None = None) -> Fault:
    """Place a fault at the code point `at` of `source`."""
    line = source.count("\n", 0, at) + 1
    column = at - source.rfind("\n", 0, at)
    return Fault(message, line, column, hint)


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """Word the known name nearest to `name` as a hint; None when nothing is near."""
    best = nearest(name, known) if len(name) <= _LONGEST_GUESS else None
    return None if best is None else f"did you mean '{best}'?"


class Wrong(Exception):  # noqa: N818  # a finding on its way to the checker, not an error
    """Something wrong at the offset `at`, before it is placed in the source."""

    def __init__(self, at: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.at = at
        self.message = message
        self.hint = hint


def listed(names: Iterable[str]) -> str | None:
    """Word a few known names as a hint; None when there are none or too many to read."""
    known = sorted(names)
    return f"there are {', '.join(map(repr, known))}" if 0 < len(known) <= _MOST_LISTED else None
