"""No source and no data can hold the process: each hostile case is refused or stopped, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import reduce

import pytest

from engine.domain.expression import ExpressionFailed
from engine.language.expressions import ExpressionFault, Scope, compile_expression
from engine.language.expressions.types import DYN, StepsType

LIMIT = 64 * 1024
# The promise is 50 ms on an idle machine; a shared one may be several times slower.
LONGEST = 0.5

SCOPE = Scope(names={"a": DYN, "steps": StepsType(tuple(f"step_number_{index}" for index in range(500)))})

SOURCES = {
    "brackets": "(" * LIMIT,
    "lists": "[" * LIMIT,
    "maps": "{1:" * (LIMIT // 3),
    "indexes": "a[" * (LIMIT // 2),
    "calls": "size(" * (LIMIT // 5),
    "macros": "a.map(b," * (LIMIT // 8),
    "negations": "!" * (LIMIT - 1) + "a",
    "minuses": "-" * (LIMIT - 1) + "1",
    "selections": "a" + ".a" * (LIMIT // 2 - 1),
    "additions": "1" + "+1" * (LIMIT // 2 - 1),
    "comparisons": "1" + "<1" * (LIMIT // 2 - 1),
    "methods": "a" + ".trim()" * (LIMIT // 8),
    "conditionals": "a?a:" * (LIMIT // 4 - 1) + "a",
    "quotes": "'''" + "'' " * (LIMIT // 4),
    "unclosed": "'" + "a" * (LIMIT - 1),
    "digits": "9" * LIMIT,
    "unknown steps": "[" + ",".join(f"steps.step_numbr_{index}" for index in range(2500)) + "]",
    "long name": "b" * LIMIT,
    "too long": "'" + "a" * LIMIT + "'",
    "too many bytes": "'" + "€" * (LIMIT // 3) + "'",
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_hostile_source_is_refused_in_bounded_time(source: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ExpressionFault):
        compile_expression(source, SCOPE)
    assert time.perf_counter() - started < 2


def test_nesting_is_refused_beyond_32_and_chains_beyond_100(faults: Callable[..., list[str]]) -> None:
    compile_expression("(" * 31 + "1" + ")" * 31, Scope())
    compile_expression("[" * 31 + "]" * 31, Scope())
    assert faults("(" * 32 + "1" + ")" * 32) == ["1:33: nested more than 32 deep"]
    compile_expression("+".join("1" * 100), Scope())
    assert faults("+".join("1" * 101)) == ["1:1: more than 100 operators are chained here"]
    assert faults("+".join("1" * 200)) == ["1:202: more than 100 operators are chained here"]
    assert faults("!" * 200 + "true") == ["1:101: more than 100 operators are chained here"]
    assert faults("{}" + ".a" * 200) == ["1:203: more than 100 operators are chained here"]


def test_the_deepest_source_allowed_runs_with_a_deep_stack_below(evaluate: Callable[..., object]) -> None:
    nested = reduce(lambda inner, _: f"[1 + {inner}, 1][0]", range(22), "1")

    def below(frames: int, source: str) -> object:
        return evaluate(source) if frames == 0 else below(frames - 1, source)

    assert below(300, nested) == 23
    assert below(300, "+".join("1" * 100)) == 100
    assert below(300, "(" * 30 + "[1][0]" + ")" * 30) == 1
    assert below(300, "!" * 98 + "true") is True


def test_any_number_of_conditions_may_be_chained(evaluate: Callable[..., object]) -> None:
    assert evaluate(" && ".join(["a > 0"] * 2000), {"a": 1}) is True
    assert evaluate(" || ".join(["a < 0"] * 2000), {"a": 1}) is False


DATA: dict[str, object] = {
    "l": list(range(10_000)),
    "s": "a" * 30_000,
    "n": "a" * 49 + "b" + "a" * 49,
    "u": "é" * 200_000,
    "words": "ab " * 50_000,
    "texts": ["x" * 1000] * 10_000,
    "d": {f"k{index}": index for index in range(10_000)},
}
HOSTILE = {
    "four loops": "l.exists(a, l.exists(b, l.exists(c, l.exists(d, a + b + c + d < 0))))",
    "empty loops": "l.all(a, l.all(b, true))",
    "a doubled string": "['a']" + ".map(x, x + x)" * 40,
    "a doubled list": "[[1]]" + ".map(x, x + x)" * 40,
    "equal graphs": "[1]" + ".map(x, [x, x])" * 30 + " == [1]" + ".map(x, [x, x])" * 30,
    "lists in a loop": "l.map(a, [[], [], [], [], [], [], [], [], [], []])",
    "equal lists": "l.all(a, l == l)",
    "equal maps": "l.all(a, d == d)",
    "equal strings": "l.all(a, u + 'x' == u + 'x')",
    "ordered strings": "l.exists(a, u < u)",
    "search in a list": "l.exists(a, -1 in l)",
    "search in strings": "texts.exists(a, 'y' in texts)",
    "split": "l.map(a, words.split(' '))",
    "split into characters": "l.map(a, s.split(''))",
    "replace by more": "s.replace('a', s)",
    "replace in a loop": "l.map(a, words.replace('b', 'c'))",
    "contains": "l.exists(a, s.contains(n))",
    "contains something short": "l.exists(a, s.contains('aab'))",
    "indexOf": "l.exists(a, s.indexOf(n) == 5)",
    "join": "l.map(a, texts.join('-'))",
    "concatenation": "l.map(a, s + s)",
    "list concatenation": "l.map(a, l + l)",
    "lowerAscii": "l.map(a, u.lowerAscii())",
    "trim": "l.map(a, u.trim())",
    "startsWith": "l.all(a, u.startsWith(u))",
    "substring": "l.map(a, u.substring(0, 100000))",
    "absorbed failures": "l.exists(a, d.nope == 1)",
    "absorbed failures of loops": "l.exists(a, l.exists(b, d.nope == 1) || d.nope == 2)",
    "conversions": "l.map(a, string(a) + string(1.5e300))",
    "host of optionals": "l.map(a, d.?nope.?x.orValue(1))",
}


def _failure(source: str, data: dict[str, object]) -> tuple[str, float]:
    expression = compile_expression(source, Scope(names=dict.fromkeys(data, DYN)))
    started = time.perf_counter()
    with pytest.raises(ExpressionFailed) as caught:
        expression.run(data)
    return caught.value.code, time.perf_counter() - started


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_expression_runs_out_of_fuel_in_bounded_time(source: str) -> None:
    code, seconds = _failure(source, DATA)
    assert code == "out_of_fuel"
    assert seconds < LONGEST


LARGE: dict[str, object] = {
    "a string": "x" * (256 * 1024),
    "a string of many bytes": "€" * (100 * 1024),
    "a list": [0] * 200_000,
    "strings": ["x" * 1000] * 300,
    "a map": {f"key-{index}": None for index in range(30_000)},
    "doubles": [index / 7 for index in range(30_000)],
    "lists in lists": [[[]] * 1000] * 100,
    "one large int": [10**300_000],
}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE.keys())
def test_a_result_beyond_256_kib_is_refused(value: object) -> None:
    code, seconds = _failure("v", {"v": value})
    assert code == "value_too_large"
    assert seconds < LONGEST


def test_a_result_whose_parts_are_shared_is_as_large_as_it_is_written() -> None:
    code, seconds = _failure("[1]" + ".map(x, [x, x])" * 30, {})
    assert code == "value_too_large"
    assert seconds < LONGEST


def test_a_result_up_to_the_limit_is_given(evaluate: Callable[..., object]) -> None:
    for value in ["x" * (250 * 1024), ["x" * 1000] * 250, [1] * 60_000, {"a": [None, True, 1.5, -3, "é"]}]:
        assert evaluate("v", {"v": value}) == value


def test_data_nested_beyond_the_stack_is_compared_and_given_without_recursion(
    evaluate: Callable[..., object],
) -> None:
    def nested() -> list[object]:
        value: list[object] = []
        for _ in range(5000):
            value = [value]
        return value

    one = nested()
    assert evaluate("a == b", {"a": one, "b": nested()}) is True
    assert evaluate("a", {"a": one}) is one


def test_nothing_absorbs_an_empty_tank(failure: Callable[..., tuple[str, str]]) -> None:
    loop = "l.all(a, l.all(b, true))"
    for source in [f"{loop} || true", f"true && {loop} && false", f"[1].exists(x, {loop}) || true"]:
        assert failure(source, DATA)[0] == "out_of_fuel"


NOT_JSON: list[tuple[str, object, str]] = [
    ("{1: 2}", None, "the result holds a map with an int as a key, which is no JSON value"),
    ("[v]", object(), "the result holds an object, which is no JSON value"),
    ("v", b"bytes", "the result holds an object, which is no JSON value"),
    ("[optional.of(1)]", None, "the result holds an optional, which is no JSON value"),
    ("[1.0 / 0.0]", None, "the result holds a number that is not finite, which is no JSON value"),
]


@pytest.mark.parametrize(("source", "value", "detail"), NOT_JSON)
def test_a_result_is_json(
    failure: Callable[..., tuple[str, str]],
    source: str,
    value: object,
    detail: str,
) -> None:
    assert failure(source, {"v": value}) == ("type_mismatch", detail)
