"""What one evaluation carries along: the scope, the variables of the macros around, and its fuel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from engine.domain.expression import ExpressionFailed

FUEL = 200_000
_FAILURE = 32
_NO_ZONES: frozenset[str] = frozenset()


class Frame:
    """One evaluation; a closure gets it and gives a value. `zones` are the time zones it has asked for."""

    __slots__ = ("fuel", "scope", "variables", "zones")

    def __init__(self, scope: Mapping[str, object], fuel: int, variables: int) -> None:
        self.scope = scope
        self.fuel = fuel
        self.variables: list[object] = [None] * variables
        self.zones: frozenset[str] = _NO_ZONES

    def spend(self, cost: int) -> None:
        """Pay for work before it is done; raise `out_of_fuel` when there is no fuel left for it."""
        self.fuel -= cost
        if self.fuel < 0:
            raise out_of_fuel()


Closure: TypeAlias = Callable[[Frame], object]


def out_of_fuel() -> ExpressionFailed:
    """The failure that nothing absorbs."""
    return ExpressionFailed("out_of_fuel", f"the expression needs more than {FUEL} units of fuel")


def mismatch(what: str) -> ExpressionFailed:
    """A value of the wrong type was met."""
    return ExpressionFailed("type_mismatch", what)


def absorb(
    frame: Frame,
    failure: ExpressionFailed,
    earlier: ExpressionFailed | None,
) -> ExpressionFailed:
    """Let `&&`, `||`, `all` and `exists` go on after a failure and keep the first.

    A failure is paid for, since it is slow; `out_of_fuel` is never absorbed.
    """
    if failure.code == "out_of_fuel":
        raise failure
    frame.spend(_FAILURE)
    return earlier or failure
