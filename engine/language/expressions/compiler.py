"""The way in: a source and a scope to an `Expression`, checked before it ever runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.domain.budget import Names
from engine.domain.expression import Expression
from engine.language.expressions.access import MissingKey
from engine.language.expressions.analysis import Analysis, check
from engine.language.expressions.closures import Compiler
from engine.language.expressions.frame import FUEL, Frame, mismatch
from engine.language.expressions.parser import parse
from engine.language.expressions.passing import passed_on
from engine.language.expressions.result import json_result
from engine.language.expressions.syntax import Node
from engine.language.expressions.types import DYN, Scope, Type, worded
from engine.language.expressions.values import kind_of


def analyse_expression(source: str, scope: Scope, *, expected: Type = DYN) -> Analysis:
    """Check a source without compiling it; raise `ExpressionFault` with every fault found."""
    return check(source, parse(source), scope, expected)


def compile_expression(source: str, scope: Scope, *, expected: Type = DYN) -> Expression:
    """Compile CEL to an `Expression`.

    `scope` declares the names and the host's functions; `expected` is the type the result must have, checked
    now as far as types are known and again whenever it runs. Raises `ExpressionFault` with every fault found.
    `run` takes the values (and callables) of the scope's names, gives a JSON value that may share parts with
    them, and raises `ExpressionFailed`; what a custom mapping of the scope raises passes through. A handle
    that is only passed on is part of that value; where it is worked on, it is opened.
    """
    tree = parse(source)
    analysis = check(source, tree, scope, expected)
    return Expression(
        source=source,
        reads=analysis.reads,
        inputs="inputs" in analysis.names,
        run=_runner(tree, analysis, expected.kind),
    )


def _runner(tree: Node, analysis: Analysis, wanted: str) -> Callable[[Mapping[str, object]], object]:
    passed = passed_on(tree) if wanted == "dyn" else frozenset[int]()
    compiler = Compiler(analysis, passed)
    body = compiler.compile(tree)
    anything = wanted == "dyn"
    slots, fuel = compiler.slots, FUEL - compiler.cost
    fits = {"double": {"double", "int"}}.get(wanted, {wanted})

    def run(scope: Mapping[str, object]) -> object:
        frame = Frame(scope, fuel, slots)
        budget = scope.budget if isinstance(scope, Names) else None
        if budget is not None:
            budget.check()
        try:
            value = body(frame)
            if type(value) is not bool:
                value = json_result(frame, value)
        except MissingKey as missing:
            raise missing.explained() from None
        finally:
            if budget is not None:
                budget.used += FUEL - frame.fuel
        if not (anything or kind_of(value) in fits):
            raise mismatch(f"the expression gives {worded(kind_of(value))}, and {worded(wanted)} is expected")
        return value

    return run
