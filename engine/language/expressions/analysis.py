"""What is known of an expression before it runs: its type, what it reads, or every fault in it at once."""

from __future__ import annotations

from dataclasses import dataclass

from engine.language.expressions.check import Checker
from engine.language.expressions.syntax import Node, start
from engine.language.expressions.types import Scope, Type, worded

_NO_RESULT = {
    "optional": ("an optional is no result", "end with .orValue(...)"),
    "type": ("a type is no result", "compare it: type(a) == string"),
}
# A time is written as text, and every int is a double as well.
_ALSO_FITS = {("double", "int"), ("string", "timestamp"), ("string", "duration")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What is known of an expression before it runs.

    `names` are the top-level names it reads, `reads` the steps whose output it can read, `calls` the
    functions of the host it calls; `widened` are the ids of the nodes declared double, where data may hold
    an int.
    """

    type: Type
    names: frozenset[str]
    reads: frozenset[str]
    calls: frozenset[str]
    widened: frozenset[int]


def check(source: str, tree: Node, scope: Scope, expected: Type) -> Analysis:
    """Check a tree against a scope; raise `ExpressionFault` with the first 20 faults."""
    checker = Checker(source, scope)
    result = checker.value(tree)
    if result.kind in _NO_RESULT:
        checker.fault(start(tree), *_NO_RESULT[result.kind])
    elif not _fits(expected.kind, result.kind):
        message = f"{worded(expected.kind)} is expected here, and this is {worded(result.kind)}"
        checker.fault(start(tree), message)
    checker.finish()
    return Analysis(
        type=result,
        names=frozenset(checker.names),
        reads=frozenset(checker.reads),
        calls=frozenset(checker.calls),
        widened=frozenset(checker.widened),
    )


def _fits(expected: str, kind: str) -> bool:
    return "dyn" in {expected, kind} or expected == kind or (expected, kind) in _ALSO_FITS
