"""Evaluates the expressions of an input that name secrets, over just the values that came with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.domain.expression import ExpressionFailed
from engine.domain.handles import Place, replaced
from engine.language.deferred_input import Asked, evaluated_at
from engine.language.expressions import ExpressionFault
from worker.tools.contract import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.commands import Command

_TOO_LARGE = "value_too_large"


def evaluated(command: Command, value: object, secret: Callable[[str], str]) -> object:
    """Return the input with results in place of its expressions; `value` has its payloads already.

    Payloads inside are as for the engine: what is passed on may be large, what is worked on may not. Raises
    `ToolFailed`: `expression_error`, `value_too_large`, `validation` for what is no expression of this build,
    and what `secret` raises.
    """
    for place in command.deferred:
        value = replaced(value, [(place, _evaluated(command, value, place, secret))])
    return value


def _evaluated(command: Command, value: object, place: Place, secret: Callable[[str], str]) -> object:
    asked = Asked(command.input, command.handles, command.deferred)
    try:
        return evaluated_at(asked, value, place, secret)
    except ExpressionFailed as failed:
        raise _failure(failed) from None
    except ExpressionFault as fault:
        message = f"this worker cannot read an expression, is it as new as the engine? {fault.message}"
        raise ToolFailed("validation", message) from None


def _failure(failed: ExpressionFailed) -> ToolFailed:
    code = failed.code if failed.code == _TOO_LARGE else "expression_error"
    # What else is there is not known here: only what the expression names came along.
    detail = failed.detail.partition("; ")[0] if failed.code == "missing_key" else failed.detail
    return ToolFailed(code, f"{failed.code}: {detail}")
