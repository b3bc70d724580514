"""Generated expressions give the same value, or fail alike, here and in the reference implementation of CEL.

Once with every type hidden, so that what the reference refuses by type is compared while it runs, and once
with types declared, so that what the reference accepts is accepted here. What differs on purpose is left
out of the grammar; docs/decisions/0020 says why. CHAOS=long compares 100,000 expressions.
"""

from __future__ import annotations

import ctypes
import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext import ext_optional, ext_strings  # type: ignore[import-untyped]

from engine.domain.expression import ExpressionFailed
from engine.language.expressions import ExpressionFault, Scope, compile_expression
from engine.language.expressions.types import BOOL, DOUBLE, DYN, INT, STRING, ListType, MapType
from tests.support.cel_grammar import DATA, Grammar

HOW_MANY = 100_000 if os.environ.get("CHAOS") == "long" else 2_000
EXTENSIONS = [ext_strings.ExtStrings(), ext_optional.ExtOptional()]
HIDDEN = Scope(names=dict.fromkeys(DATA, DYN))
TYPED = Scope(
    names={
        **HIDDEN.names,
        "t": BOOL,
        "i": INT,
        "d": DOUBLE,
        "whole": DOUBLE,
        "s": STRING,
        "l": ListType(INT),
        "mixed": ListType(DYN),
        "texts": ListType(STRING),
        "m": MapType(others=DYN),
        "empty": MapType(others=DYN),
    }
)
THEIR_TYPES = {
    "n": cel.Type.DYN,
    "t": cel.Type.BOOL,
    "i": cel.Type.INT,
    "d": cel.Type.DOUBLE,
    "whole": cel.Type.DOUBLE,
    "s": cel.Type.STRING,
    "l": cel.Type.List(cel.Type.INT),
    "mixed": cel.Type.List(cel.Type.DYN),
    "texts": cel.Type.List(cel.Type.STRING),
    "m": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "empty": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}
REFERENCE = cel.NewEnv(variables=dict.fromkeys(DATA, cel.Type.DYN), extensions=EXTENSIONS)
TYPED_REFERENCE = cel.NewEnv(variables=THEIR_TYPES, extensions=EXTENSIONS)

# The words of the reference's errors, the first that is found, and our codes for them.
CLASSES = (
    ("expected integer type", "type_mismatch"),
    ("Key not found", "missing_key"),
    ("Index error", "missing_key"),
    ("index out of range", "missing_key"),
    ("<string>.charAt", "missing_key"),
    ("<string>.substring", "missing_key"),
    ("dereference", "missing_key"),
    ("by zero", "division_by_zero"),
    ("OUT_OF_RANGE", "overflow"),
    ("above maximum", "overflow"),
    ("below minimum", "overflow"),
)


@dataclass(frozen=True)
class Failed:
    """An evaluation that failed, and how."""

    code: str


def _ours(source: str, scope: Scope) -> object:
    try:
        return compile_expression(source, scope).run(DATA)
    except ExpressionFailed as failed:
        return Failed(failed.code)


def _outcome(value: object, *, failed: bool) -> object:
    """What the reference gives; its errors are texts."""
    for _ in range(_nones(value)):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))
    if failed:
        return Failed(next((code for words, code in CLASSES if words in str(value)), "type_mismatch"))
    return value if _finite(value) else Failed("type_mismatch")


def _nones(value: object) -> int:
    """How often None is in a value: the reference gives it without counting the reference to it."""
    match value:
        case list():
            return sum(map(_nones, value))
        case dict():
            return sum(map(_nones, value.values()))
        case _:
            return int(value is None)


def _comparable(value: object) -> bool:
    """Whether Python's values tell all: those of times lack nanoseconds, and types are no JSON."""
    match value:
        case list():
            return all(map(_comparable, value))
        case dict():
            return all(map(_comparable, value.values()))
        case _:
            return value is None or isinstance(value, bool | int | float | str | Failed)


def _finite(value: object) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_finite, value))
        case dict():
            return all(map(_finite, value.values()))
        case _:
            return True


def _told(value: object) -> object:
    """A value with its kinds, so that `1`, `1.0` and `true` differ."""
    match value:
        case list():
            return [_told(one) for one in value]
        case dict():
            return {key: _told(one) for key, one in value.items()}
        case _:
            return type(value).__name__, value


def _agree(source: str, theirs: object, scope: Scope) -> object:
    if not _comparable(theirs):
        return None
    ours = _ours(source, scope)
    if not _alike(ours, theirs):
        assert _told(ours) == _told(theirs), source
    return theirs


def _alike(ours: object, theirs: object) -> bool:
    """Whether both failed, one by an operand's kind: where several operands are wrong, either is told."""
    return (
        isinstance(ours, Failed)
        and isinstance(theirs, Failed)
        and "type_mismatch" in {ours.code, theirs.code}
    )


def _hidden(source: str) -> object:
    result = REFERENCE.compile(source, disable_check=True).eval(data=DATA)
    return _agree(source, _outcome(result.plain_value(), failed=result.type() == cel.Type.ERROR), HIDDEN)


def _typed(source: str) -> object:
    try:
        result = TYPED_REFERENCE.compile(source).eval(data=DATA)
    except RuntimeError:
        return None
    if _lacks_a_key(source):
        return None
    return _agree(source, _outcome(result.plain_value(), failed=result.type() == cel.Type.ERROR), TYPED)


def _lacks_a_key(source: str) -> bool:
    """Whether it reads a key that a map written in it lacks: a fault here, and a failure there."""
    try:
        compile_expression(source, TYPED)
    except ExpressionFault as refused:
        return all("has no key" in fault.message for fault in refused.faults)
    return False


@pytest.mark.parametrize(("compare", "dynamic", "seed"), [(_hidden, True, 20), (_typed, False, 21)])
def test_generated_expressions_give_what_the_reference_gives(
    compare: Callable[[str], object], seed: int, *, dynamic: bool
) -> None:
    grammar = Grammar(random.Random(seed), dynamic=dynamic)
    outcomes = [compare(grammar.expression()) for _ in range(HOW_MANY // 2)]
    assert {Failed(code) for code in ("missing_key", "type_mismatch", "overflow")} <= {
        outcome for outcome in outcomes if isinstance(outcome, Failed)
    }
    worked = sum(outcome is not None and not isinstance(outcome, Failed) for outcome in outcomes)
    assert worked > HOW_MANY // 10


@pytest.mark.parametrize(
    "source",
    [
        "-7 / 2 + -7 % 3",
        "dyn(1) == 1.0 && dyn(true) != 1 && [dyn(1)] != [true]",
        "dyn(9007199254740991) < 9007199254740992.0",
        "m.?a.?list[?1].?x.hasValue()",
        "m.?nope.list[7].orValue(3)",
        "has(m.a.list) && !has(m.nope)",
        "'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'abc'.split('', 2)",
        "'aaa'.replace('', 'b') + 'banana'.replace('a', 'o', 2)",
        "'héllo'.indexOf('l', 3) + 'héllo'.lastIndexOf('l', 2)",
        "mixed.exists(x, x == 'a') && mixed.all(x, x != 'zz')",
        "mixed.exists(x, x.a == 1)",
        "l.map(x, x > 1, l.filter(y, y >= x))",
        r"'\x41\u00e9\101' + r'\n' + '''a'b'''",
        "string(1.0) + string(0.1) + string(-5) + string(true)",
        "{'a': 1, 'b': [2]} == dyn({'b': [2.0], 'a': 1})",
        "int(2.9) + int(-2.9) + int('+4')",
        "double('1.5e3') / double(2)",
        "string(timestamp('2026-03-29T00:59:59.5Z') + duration('1s'))",
        "timestamp('2026-03-29T01:00:00Z').getHours('Europe/Berlin')",
        "timestamp('2026-03-29T00:59:59Z').getDayOfYear('Asia/Kathmandu')",
        "string(timestamp('1969-12-31T23:59:59.999999999Z') - timestamp(0))",
        "[?optional.of(10), ?optional.none()] == [10]",
        "optional.none().or(optional.of(2)).optMap(x, x + 1).value()",
        "type(timestamp(0)) == google.protobuf.Timestamp && type(m) == map",
    ],
)
def test_a_chosen_expression_gives_what_the_reference_gives(source: str) -> None:
    assert _hidden(source) == _typed(source)
