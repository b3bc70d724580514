"""Calls at run time: functions of the host, what is lazy, and overloads chosen by kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.domain.expression import ExpressionFailed
from engine.domain.handles import Handle
from engine.language.expressions.frame import Closure, Frame, mismatch
from engine.language.expressions.overloads import Overload
from engine.language.expressions.syntax import Call, path
from engine.language.expressions.types import worded
from engine.language.expressions.values import Maybe, kind_of


def host_call(function: Closure, arguments: Sequence[Closure]) -> Closure:
    """Call what the scope provides as a function; what it raises passes through."""

    def call(frame: Frame) -> object:
        called = function(frame)
        if not callable(called):
            raise mismatch("a function of the host is no function here")
        result: object = called(*[argument(frame) for argument in arguments])
        return result

    return call


def or_else(function: str, optional: Closure, otherwise: Closure) -> Closure:
    """`a.or(b)` and `a.orValue(b)`: the optional or its value, else the other, evaluated only then."""
    whole = function == "or"

    def present_or_else(frame: Frame) -> object:
        value = optional(frame)
        if not isinstance(value, Maybe):
            raise mismatch(f"{function}() is a method of an optional, not of {worded(kind_of(value))}")
        if value.present:
            return value if whole else value.value
        other = otherwise(frame)
        if whole and not isinstance(other, Maybe):
            raise mismatch(f"or() takes an optional, not {worded(kind_of(other))}")
        return other

    return present_or_else


def overloaded(node: Call, overloads: Sequence[Overload], arguments: Sequence[Closure]) -> Closure:
    """Call the overload that fits the kinds the arguments turn out to have."""
    count = len(arguments)
    fitting = [overload for overload in overloads if len(overload.kinds) == count]
    if any("dyn" in overload.kinds for overload in fitting) or count == 0:
        run = fitting[0].run
        return lambda frame: run(frame, *[argument(frame) for argument in arguments])
    table: dict[tuple[str, ...], Callable[..., object]] = {one.kinds: one.run for one in fitting}
    if count == 1:
        return _single(node, {kinds[0]: run for kinds, run in table.items()}, arguments[0])

    def call(frame: Frame) -> object:
        values = [argument(frame) for argument in arguments]
        kinds = tuple([kind_of(value) for value in values])
        found = table.get(kinds)
        if found is None:
            raise _meaningless(node, kinds)
        return found(frame, *values)

    return call


def sized(node: Call, overloads: Sequence[Overload], argument: Closure) -> Closure:
    """Call `size()`: a list that is kept apart need not be read for its length."""
    table = {overload.kinds[0]: overload.run for overload in overloads}

    def call(frame: Frame) -> object:
        value = argument(frame)
        if type(value) is Handle:
            if value.count is not None:
                return value.count
            value = value.open()
        found = table.get(kind_of(value))
        if found is None:
            raise _meaningless(node, [kind_of(value)])
        return found(frame, value)

    return call


def _single(node: Call, table: Mapping[str, Callable[..., object]], argument: Closure) -> Closure:
    def call(frame: Frame) -> object:
        value = argument(frame)
        found = table.get(kind_of(value))
        if found is None:
            raise _meaningless(node, [kind_of(value)])
        return found(frame, value)

    return call


def _meaningless(node: Call, kinds: Sequence[str]) -> ExpressionFailed:
    given = ", ".join(map(worded, kinds))
    return mismatch(f"{node.function}() has no meaning for {given} in {path(node)}")
