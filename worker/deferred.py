"""Evaluates the expressions of an input that name secrets, over just the values that came with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.domain.deferred import remote
from engine.domain.expression import ExpressionFailed
from engine.domain.handles import Handle, Place, reference_at, replaced
from engine.language.deferring import compile_deferred
from engine.language.expressions import ExpressionFault
from engine.language.secrets import SECRET
from worker.tools.contract import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.commands import Command

_TOO_LARGE = "value_too_large"


def evaluated(command: Command, value: object, secret: Callable[[str], str]) -> object:
    """Return the input with results in place of its expressions; `value` has its payloads already.

    Payloads inside are as for the engine: what is passed on may be large, what is worked on may not. Raises
    `ToolFailed`: `expression_error`, `value_too_large`, `validation` for what is no expression of this build,
    and what `secret` raises.
    """
    for place in command.deferred:
        value = replaced(value, place, _evaluated(command, value, place, secret))
    return value


def _evaluated(command: Command, value: object, place: Place, secret: Callable[[str], str]) -> object:
    contents: dict[str, object] = {}
    asked: Any = _at(_with_handles(command, value, place, contents), place)
    try:
        expression = compile_deferred(asked["source"], frozenset(asked["values"]), asked.get("doubles"))
        result = expression.run({**remote(asked["values"]), SECRET: secret})
    except ExpressionFailed as failed:
        raise _failure(failed) from None
    except ExpressionFault as fault:
        message = f"this worker cannot read an expression, is it as new as the engine? {fault.message}"
        raise ToolFailed("validation", message) from None
    return _delivered(result, contents)


def _with_handles(command: Command, value: object, place: Place, contents: dict[str, object]) -> object:
    """The value with its payloads below a place as handles, which know their size; `contents` by address."""
    for found in command.handles:
        if list(found[: len(place)]) == list(place):
            reference = reference_at(command.input, found)
            contents[reference["uri"]] = _at(value, found)
            named = ".".join(map(str, found[len(place) + 1 :]))
            value = replaced(value, found, Handle(reference, named, contents.__getitem__))
    return value


def _at(value: Any, place: Place) -> object:  # noqa: ANN401  # any JSON
    for key in place:
        value = value[key]
    found: object = value
    return found


def _delivered(result: object, contents: Mapping[str, object]) -> object:
    """The result with its payloads as they are, however large: they are only passed on."""
    if isinstance(result, Handle):
        return contents[result.reference["uri"]]
    if isinstance(result, dict):
        return {key: _delivered(part, contents) for key, part in result.items()}
    if isinstance(result, list):
        return [_delivered(part, contents) for part in result]
    return result


def _failure(failed: ExpressionFailed) -> ToolFailed:
    code = failed.code if failed.code == _TOO_LARGE else "expression_error"
    # What else is there is not known here: only what the expression names came along.
    detail = failed.detail.partition("; ")[0] if failed.code == "missing_key" else failed.detail
    return ToolFailed(code, f"{failed.code}: {detail}")
