"""The types of calls: which overload the arguments fit, or what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.language.expressions.faults import Wrong, listed, near_miss
from engine.language.expressions.functions import FUNCTIONS, LAZY_METHODS, METHODS, REFUSED
from engine.language.expressions.parser import MACROS
from engine.language.expressions.syntax import Call, Literal, start
from engine.language.expressions.types import DYN, OptionalType, Scope, Type, joined, worded

Signature = tuple[tuple[str, ...], Type]


def call_type(node: Call, types: Sequence[Type], scope: Scope) -> Type:
    """The type of a call whose target (of a method) and arguments have `types`; raises `Wrong`."""
    if node.target is not None and node.function in LAZY_METHODS:
        return _or_else(node, types)
    signatures = _signatures(node, scope)
    if signatures is None:
        raise _unknown(node, scope)
    result = _resolved(node, types, signatures)
    host = scope.functions.get(node.function) if node.target is None else None
    if host is not None and host.named is not None:
        _check_name(node, host.named)
    if node.function in {"optional.of", "optional.ofNonZeroValue"}:
        return OptionalType(types[0])
    if node.function == "value" and isinstance(types[0], OptionalType):
        return types[0].element
    return result


def _signatures(node: Call, scope: Scope) -> list[Signature] | None:
    if node.target is None and (host := scope.functions.get(node.function)):
        return [(tuple(parameter.kind for parameter in host.parameters), host.result)]
    overloads = (FUNCTIONS if node.target is None else METHODS).get(node.function)
    return None if overloads is None else [(overload.kinds, overload.result) for overload in overloads]


def _check_name(node: Call, pattern: re.Pattern[str]) -> None:
    argument = node.arguments[0]
    if not isinstance(argument, Literal):
        message = f"{node.function}() takes a name that is written out here, not one that is computed"
        raise Wrong(start(argument), message, f"write {node.function}('NAME')")
    if pattern.fullmatch(str(argument.value)) is None:
        message = f"{str(argument.value)[:40]!r} is no name that {node.function}() takes"
        raise Wrong(argument.at, message, "use letters, digits and _, at most 128, and no digit first")


def _unknown(node: Call, scope: Scope) -> Wrong:
    name, what = node.function, "function" if node.target is None else "method"
    if node.target is None and name in scope.elsewhere:
        return Wrong(node.at, *scope.elsewhere[name])
    if name in REFUSED:
        return Wrong(node.at, f"{name}() is refused: {REFUSED[name]}")
    if node.target is None and (name in METHODS or name in MACROS):
        return Wrong(node.at, f"there is no function {name}()", f"write value.{name}(...)")
    if node.target is not None and (name in FUNCTIONS or name in scope.functions):
        return Wrong(node.at, f"there is no method {name}()", f"write {name}(...)")
    known = (
        [*FUNCTIONS, *scope.functions, "has"] if node.target is None else [*METHODS, *MACROS, *LAZY_METHODS]
    )
    return Wrong(
        node.at, f"there is no {what} {name[:40]}()", near_miss(name, known) or listed(scope.functions)
    )


def _resolved(node: Call, types: Sequence[Type], signatures: Sequence[Signature]) -> Type:
    fitting = [signature for signature in signatures if len(signature[0]) == len(types)]
    if not fitting:
        target = int(node.target is not None)
        counts = " or ".join(sorted({str(len(kinds) - target) for kinds, _ in signatures}))
        noun = "argument" if counts == "1" else "arguments"
        raise Wrong(node.at, f"{node.function}() takes {counts} {noun}, not {len(types) - target}")
    for place, found in enumerate(types):
        rest = [signature for signature in fitting if _takes(signature[0][place], found)]
        if not rest:
            raise _unfit(node, place, found, sorted({kinds[place] for kinds, _ in fitting}))
        fitting = rest
    results = [result for _, result in fitting]
    return results[0] if all(result == results[0] for result in results) else DYN


def _takes(kind: str, found: Type) -> bool:
    return kind == found.kind or "dyn" in {kind, found.kind}


def _unfit(node: Call, place: int, found: Type, kinds: Sequence[str]) -> Wrong:
    wanted = " or ".join(worded(kind) for kind in kinds)
    if node.target is not None and place == 0:
        return Wrong(node.at, f"{node.function}() is a method of {wanted}, not of {worded(found.kind)}")
    argument = node.arguments[place - int(node.target is not None)]
    return Wrong(start(argument), f"{node.function}() takes {wanted} here, not {worded(found.kind)}")


def _or_else(node: Call, types: Sequence[Type]) -> Type:
    target, *others = types
    if len(others) != 1:
        raise Wrong(node.at, f"{node.function}() takes 1 argument, not {len(others)}")
    if target.kind not in {"optional", "dyn"}:
        message = f"{node.function}() is a method of an optional, not of {worded(target.kind)}"
        raise Wrong(node.at, message, "select with '.?' or '[?...]'")
    other = others[0]
    if node.function == "orValue":
        return joined(target.element, other) if isinstance(target, OptionalType) else DYN
    if other.kind not in {"optional", "dyn"}:
        message = f"or() takes an optional here, not {worded(other.kind)}"
        raise Wrong(start(node.arguments[0]), message, "use orValue(...)")
    return joined(target, other) if isinstance(target, OptionalType) else OptionalType()
