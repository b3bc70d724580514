"""The macros: loops over lists, keys and optionals, every turn paid for before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.domain.expression import ExpressionFailed
from engine.language.expressions.frame import Closure, Frame, absorb, mismatch
from engine.language.expressions.types import worded
from engine.language.expressions.values import NOTHING, Maybe, kind_of

_COST_OF_OPTIONAL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A macro ready to run: what it walks over, the slot of its variable, its body and a turn's cost."""

    macro: str
    target: Closure
    slot: int
    where: Closure | None
    body: Closure
    cost: int


def loop_closure(loop: Loop) -> Closure:
    """The closure of a macro."""
    match loop.macro:
        case "exists":
            return _quantifier(loop, decisive=True)
        case "all":
            return _quantifier(loop, decisive=False)
        case "exists_one":
            return _exists_one(loop)
        case "filter":
            return _filter(loop)
        case "optMap" | "optFlatMap":
            return _of_optional(loop)
        case _:
            return _map(loop)


def _items(frame: Frame, loop: Loop) -> Iterable[object]:
    value = loop.target(frame)
    if isinstance(value, Mapping):
        return value
    if kind_of(value) == "list":
        assert isinstance(value, Sequence)  # noqa: S101  # by its kind
        return value
    raise mismatch(f"{loop.macro}() needs a list or a map, not {worded(kind_of(value))}")


def _no_bool(loop: Loop, value: object) -> ExpressionFailed:
    return mismatch(f"the condition of {loop.macro}() gives {worded(kind_of(value))}, not a bool")


def _verdict(loop: Loop, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _no_bool(loop, value)


def _quantifier(loop: Loop, *, decisive: bool) -> Closure:
    def quantify(frame: Frame) -> bool:
        failure: ExpressionFailed | None = None
        variables = frame.variables
        for item in _items(frame, loop):
            frame.spend(loop.cost)
            variables[loop.slot] = item
            try:
                if _verdict(loop, loop.body(frame)) is decisive:
                    return decisive
            except ExpressionFailed as failed:
                failure = absorb(frame, failed, failure)
        if failure is not None:
            raise failure
        return not decisive

    return quantify


def _exists_one(loop: Loop) -> Closure:
    def exists_one(frame: Frame) -> bool:
        count = 0
        for item in _items(frame, loop):
            frame.spend(loop.cost)
            frame.variables[loop.slot] = item
            count += _verdict(loop, loop.body(frame))
        return count == 1

    return exists_one


def _filter(loop: Loop) -> Closure:
    def keep(frame: Frame) -> list[object]:
        kept: list[object] = []
        for item in _items(frame, loop):
            frame.spend(loop.cost)
            frame.variables[loop.slot] = item
            if _verdict(loop, loop.body(frame)):
                kept.append(item)
        return kept

    return keep


def _map(loop: Loop) -> Closure:
    where, body = loop.where, loop.body

    def transform(frame: Frame) -> list[object]:
        made: list[object] = []
        for item in _items(frame, loop):
            frame.spend(loop.cost)
            frame.variables[loop.slot] = item
            if where is None or _verdict(loop, where(frame)):
                made.append(body(frame))
        return made

    return transform


def _of_optional(loop: Loop) -> Closure:
    flat = loop.macro == "optFlatMap"

    def transform(frame: Frame) -> Maybe:
        optional = loop.target(frame)
        if not isinstance(optional, Maybe):
            raise mismatch(f"{loop.macro}() needs an optional, not {worded(kind_of(optional))}")
        if not optional.present:
            return NOTHING
        frame.spend(loop.cost + _COST_OF_OPTIONAL)
        frame.variables[loop.slot] = optional.value
        made = loop.body(frame)
        if not flat:
            return Maybe(made)
        if not isinstance(made, Maybe):
            raise mismatch(f"the body of optFlatMap() gives {worded(kind_of(made))}, not an optional")
        return made

    return transform
