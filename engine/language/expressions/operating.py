"""The closures of operators: they run their operands, and tell by name and kinds what has no meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.domain.expression import ExpressionFailed
from engine.language.expressions.frame import Closure, Frame, absorb, mismatch
from engine.language.expressions.operators import NO_OVERLOAD, Operation
from engine.language.expressions.syntax import Binary, Conditional, Node, Unary, path
from engine.language.expressions.types import worded
from engine.language.expressions.values import kind_of


def widening(closure: Closure) -> Closure:
    """Make a double of an int, where a double is declared."""

    def widened(frame: Frame) -> object:
        value = closure(frame)
        return float(value) if type(value) is int else value

    return widened


def operated(node: Binary, operate: Operation, left: Closure, right: Closure) -> Closure:
    """The closure of `left operator right`."""

    def operate_on(frame: Frame) -> object:
        one, other = left(frame), right(frame)
        result = operate(frame, one, other)
        if result is NO_OVERLOAD:
            raise _meaningless(node, one, other)
        return result

    return operate_on


def operated_with(node: Binary, operate: Operation, left: Closure, constant: object) -> Closure:
    """The closure of `left operator constant`."""

    def operate_on(frame: Frame) -> object:
        one = left(frame)
        result = operate(frame, one, constant)
        if result is NO_OVERLOAD:
            raise _meaningless(node, one, constant)
        return result

    return operate_on


def _meaningless(node: Binary, one: object, other: object) -> ExpressionFailed:
    kinds = f"{worded(kind_of(one))} and {worded(kind_of(other))}"
    return mismatch(f"'{node.operator}' has no meaning for {kinds}{_of(node)}")


def logic(sign: str, operands: Sequence[Closure], *, decisive: bool) -> Closure:
    """The closure of a chain of `&&` or `||`: one decisive value decides, whatever the others fail with."""

    def decide(frame: Frame) -> bool:
        failure: ExpressionFailed | None = None
        for operand in operands:
            try:
                value = operand(frame)
            except ExpressionFailed as failed:
                failure = absorb(frame, failed, failure)
                continue
            if value is decisive:
                return decisive
            if not isinstance(value, bool):
                wrong = mismatch(f"'{sign}' needs bools, not {worded(kind_of(value))}")
                failure = absorb(frame, wrong, failure)
        if failure is not None:
            raise failure
        return not decisive

    return decide


def operated_alone(node: Unary, operate: Callable[[object], object], operand: Closure) -> Closure:
    """The closure of `!operand` or `-operand`."""

    def operate_on(frame: Frame) -> object:
        value = operand(frame)
        result = operate(value)
        if result is NO_OVERLOAD:
            raise mismatch(f"'{node.operator}' has no meaning for {worded(kind_of(value))}{_of(node)}")
        return result

    return operate_on


def chosen(node: Conditional, condition: Closure, then: Closure, otherwise: Closure) -> Closure:
    """The closure of `condition ? then : otherwise`."""

    def choose(frame: Frame) -> object:
        verdict = condition(frame)
        if verdict is True:
            return then(frame)
        if verdict is False:
            return otherwise(frame)
        raise mismatch(f"the condition of '?:' is {worded(kind_of(verdict))}, not a bool{_of(node)}")

    return choose


def _of(node: Node) -> str:
    match node:
        case Unary():
            named = path(node.operand)
        case Binary():
            named = f"{path(node.left)} {node.operator} {path(node.right)}"
        case Conditional():
            named = path(node.condition)
        case _:
            named = path(node)
    return f" in {named}"
