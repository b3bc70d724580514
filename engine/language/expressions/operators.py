"""Arithmetic and comparison: what each operator takes and gives, and how it is done with int64 exactness."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from math import copysign, inf, nan
from typing import Final

from engine.domain.expression import ExpressionFailed
from engine.language.expressions.frame import Frame
from engine.language.expressions.times import Duration, Timestamp, duration_of, timestamp_of
from engine.language.expressions.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    ListType,
    Type,
)
from engine.language.expressions.values import NUMBERS, equal, kind_of

MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**63 - 1

_COST_OF_TIME = 8

Operation = Callable[[Frame, object, object], object]


class _NoOverload:
    """The mark an operation gives back for operands it has no meaning for."""


NO_OVERLOAD = _NoOverload()

_ORDERED: dict[tuple[str, str], Type] = {
    **{(one, other): BOOL for one in NUMBERS for other in NUMBERS},
    ("string", "string"): BOOL,
    **{(kind, kind): BOOL for kind in ("bool", "timestamp", "duration")},
}
_NUMERIC: dict[tuple[str, str], Type] = {("int", "int"): INT, ("double", "double"): DOUBLE}

ARITHMETIC = frozenset("+-*/%")

SIGNATURES: dict[str, dict[tuple[str, str], Type]] = {
    "+": {
        **_NUMERIC,
        ("string", "string"): STRING,
        ("list", "list"): ListType(DYN),
        ("duration", "duration"): DURATION,
        ("timestamp", "duration"): TIMESTAMP,
        ("duration", "timestamp"): TIMESTAMP,
    },
    "-": {
        **_NUMERIC,
        ("duration", "duration"): DURATION,
        ("timestamp", "duration"): TIMESTAMP,
        ("timestamp", "timestamp"): DURATION,
    },
    "*": _NUMERIC,
    "/": _NUMERIC,
    "%": {("int", "int"): INT},
    **dict.fromkeys(("<", "<=", ">", ">="), _ORDERED),
}


def bounded(value: int, sign: str) -> int:
    """Give an int that fits into 64 bits back, or raise `overflow`."""
    if MIN_INT <= value <= MAX_INT:
        return value
    raise ExpressionFailed("overflow", f"'{sign}' leaves the range of a 64-bit int")


def add(frame: Frame, left: object, right: object) -> object:
    """Add numbers, times, or concatenate strings or lists."""
    if type(left) is int and type(right) is int:
        return bounded(left + right, "+")
    if type(left) is float and type(right) is float:
        return left + right
    if isinstance(left, str) and isinstance(right, str):
        frame.spend((len(left) + len(right)) >> 5)
        return left + right
    if isinstance(left, Timestamp | Duration):
        return _later(frame, left, right)
    return _concatenated(frame, left, right)


def _later(frame: Frame, left: Timestamp | Duration, right: object) -> object:
    frame.spend(_COST_OF_TIME)
    if not isinstance(right, Timestamp | Duration):
        return NO_OVERLOAD
    total = left.nanos + right.nanos
    if isinstance(left, Duration) and isinstance(right, Duration):
        return duration_of(total)
    return NO_OVERLOAD if type(left) is type(right) else timestamp_of(total)


def _concatenated(frame: Frame, left: object, right: object) -> object:
    if kind_of(left) != "list" or kind_of(right) != "list":
        return NO_OVERLOAD
    assert isinstance(left, Sequence)  # noqa: S101  # by its kind
    assert isinstance(right, Sequence)  # noqa: S101  # by its kind
    frame.spend(len(left) + len(right))
    return [*left, *right]


def subtract(frame: Frame, left: object, right: object) -> object:
    """Subtract numbers, or durations, or find the time between two timestamps."""
    if type(left) is int and type(right) is int:
        return bounded(left - right, "-")
    if type(left) is float and type(right) is float:
        return left - right
    return _earlier(frame, left, right)


def _earlier(frame: Frame, left: object, right: object) -> object:
    if not (isinstance(left, Timestamp | Duration) and isinstance(right, Timestamp | Duration)):
        return NO_OVERLOAD
    frame.spend(_COST_OF_TIME)
    rest = left.nanos - right.nanos
    if type(left) is type(right):
        return duration_of(rest)
    return timestamp_of(rest) if isinstance(left, Timestamp) else NO_OVERLOAD


def multiply(_: Frame, left: object, right: object) -> object:
    """Multiply two ints or two doubles."""
    if type(left) is int and type(right) is int:
        return bounded(left * right, "*")
    if type(left) is float and type(right) is float:
        return left * right
    return NO_OVERLOAD


def divide(_: Frame, left: object, right: object) -> object:
    """Divide: ints towards zero, doubles as IEEE 754 does."""
    if type(left) is int and type(right) is int:
        if right == 0:
            raise ExpressionFailed("division_by_zero", "'/' by zero")
        quotient = abs(left) // abs(right)
        return bounded(quotient if (left < 0) == (right < 0) else -quotient, "/")
    if type(left) is float and type(right) is float:
        return left / right if right else _over_zero(left, right)
    return NO_OVERLOAD


def _over_zero(left: float, right: float) -> float:
    if left == 0 or left != left:  # noqa: PLR0124  # only NaN differs from itself
        return nan
    return copysign(inf, left) * copysign(1.0, right)


def remainder(_: Frame, left: object, right: object) -> object:
    """The remainder of a division of ints, with the sign of the left one; fails where the division does."""
    if type(left) is not int or type(right) is not int:
        return NO_OVERLOAD
    if right == 0:
        raise ExpressionFailed("division_by_zero", "'%' by zero")
    if right == -1:
        bounded(-left, "%")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _ordering(compare: Callable[..., bool]) -> Operation:
    def ordered(frame: Frame, left: object, right: object) -> object:
        if type(left) is int and type(right) is int:
            return compare(left, right)
        kind, other = kind_of(left), kind_of(right)
        if (kind, other) not in _ORDERED:
            return NO_OVERLOAD
        if isinstance(left, str) and isinstance(right, str):
            frame.spend(min(len(left), len(right)) >> 6)
        return compare(left, right)

    return ordered


def differ(frame: Frame, left: object, right: object) -> bool:
    """The opposite of `equal`."""
    return not equal(frame, left, right)


OPERATIONS: dict[str, Operation] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "==": equal,
    "!=": differ,
    "<": _ordering(operator.lt),
    "<=": _ordering(operator.le),
    ">": _ordering(operator.gt),
    ">=": _ordering(operator.ge),
}


def negate(value: object) -> object:
    """The negative of an int or a double."""
    if type(value) is int:
        return bounded(-value, "-")
    return -value if type(value) is float else NO_OVERLOAD


def invert(value: object) -> object:
    """The opposite of a bool."""
    return not value if isinstance(value, bool) else NO_OVERLOAD
