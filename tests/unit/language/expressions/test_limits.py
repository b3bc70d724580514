"""No source and no data can hold the process: each hostile case is refused or stopped, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import reduce

import pytest

from engine.domain.expression import ExpressionFailed
from engine.language.expressions import ExpressionFault, Scope, compile_expression
from engine.language.expressions.types import DYN, StepsType
from tests.support.work import MOST_CALLS, calls_of

LIMIT = 64 * 1024
# The promise is 50 ms of an idle machine; what is asserted is the fuel, and only a gross breach of the time.
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
def test_a_hostile_source_is_refused_with_bounded_work(source: str) -> None:
    def refused() -> None:
        with pytest.raises(ExpressionFault):
            compile_expression(source, SCOPE)

    assert calls_of(refused) < MOST_CALLS


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
    "blanks": "\u3000" * 200_000,
    "words": "ab " * 50_000,
    "texts": ["x" * 1000] * 10_000,
    "d": {f"k{index}": index for index in range(10_000)},
    "rows": [{"price": index % 50, "status": "open", "tags": ["a", "b"]} for index in range(10_000)],
    "moments": ["2026-01-02T03:04:05Z"] * 10_000,
    "grid": [[[index] for index in range(100)] for _ in range(100)],
}
LOOP, INNER = "l.exists(a, {})", "l.exists(a, l.exists(b, {}))"
GUARD = "r.price > 100 && r.status == 'x' || 'c' in r.tags"
HOSTILE = {
    "four loops": "l.exists(a, l.exists(b, l.exists(c, l.exists(d, a + b + c + d < 0))))",
    "empty loops": "l.all(a, l.all(b, true))",
    "nested filters": "l.map(a, l.filter(b, true))",
    "nested maps": "l.map(a, l.map(b, b))",
    "heavy filters": " || ".join([f"rows.filter(r, {GUARD}).size() > 0"] * 4),
    "a doubled string": "['a']" + ".map(x, x + x)" * 40,
    "a doubled list": "[[1]]" + ".map(x, x + x)" * 40,
    "equal graphs": "[1]" + ".map(x, [x, x])" * 30 + " == [1]" + ".map(x, [x, x])" * 30,
    "lists in a loop": LOOP.format("[[], [], [], [], [], [], [], [], [], []] == [a]"),
    "maps in a loop": INNER.format("{'a': a, 'b': b, ?'c': optional.none()} == {}"),
    "maps of computed keys": INNER.format("size({b: 1, b + 1: 2, b + 2: 3, b + 3: 4}) == 5"),
    "equal lists": "l.all(a, l == l)",
    "equal maps": "l.all(a, d == d)",
    "equal trees": LOOP.format("grid == grid.map(x, x) && false"),
    "equal strings": "l.all(a, u + 'x' == u + 'x')",
    "ordered strings": LOOP.format("u < u"),
    "search in a list": LOOP.format("-1 in l"),
    "search in strings": "texts.exists(a, 'y' in texts)",
    "split": "l.map(a, words.split(' '))",
    "split into characters": "l.map(a, s.split(''))",
    "short splits": INNER.format("'a,b,c,d,e,f,g'.split(',') == []"),
    "replace by more": "s.replace('a', s)",
    "replace nothing by more": "s.replace('', s)",
    "replace in a loop": "l.map(a, words.replace('b', 'c'))",
    "short replaces": INNER.format("'a,b,c,d,e,f,g'.replace(',', '') == ''"),
    "contains": LOOP.format("s.contains(n)"),
    "contains something short": LOOP.format("s.contains('aab')"),
    "indexOf": LOOP.format("s.indexOf(n) == 5"),
    "lastIndexOf": LOOP.format("s.lastIndexOf('ba') == 5"),
    "lastIndexOf that nearly fits": LOOP.format("s.lastIndexOf('b' + s.substring(0, 10000)) == 5"),
    "join": "l.map(a, texts.join('-'))",
    "short joins": INNER.format("['a', 'b', 'c'].join('-') == ''"),
    "concatenation": "l.map(a, s + s)",
    "list concatenation": "l.map(a, l + l)",
    "lowerAscii": "l.map(a, u.lowerAscii())",
    "trim": LOOP.format("blanks.trim() == 'x'"),
    "startsWith": "l.all(a, u.startsWith(u))",
    "substring": "l.map(a, u.substring(0, 100000))",
    "short substrings": INNER.format("'a,b,c,d,e,f,g'.substring(1, 4) == ''"),
    "absorbed failures": INNER.format("d.nope == 1"),
    "absorbed failures of loops": "l.exists(a, l.exists(b, d.nope == 1) || d.nope == 2)",
    "absorbed near misses": INNER.format("d.k_1 == 1"),
    "absorbed mismatches": INNER.format("b.foo.bar == 1"),
    "absorbed sums": INNER.format("b + 'x' == 1"),
    "absorbed overflows": INNER.format("9223372036854775807 + b + 1 == 1"),
    "divisions": INNER.format("b / 3 * 3 % 7 == 9"),
    "conversions": INNER.format("string(a) + string(1.5e300) == ''"),
    "texts of doubles": INNER.format("string(double(b) / 7.0) == ''"),
    "doubles of texts": INNER.format("double('1.234567890123456789e-300') == 1.0"),
    "optionals": INNER.format("d.?nope.?x.?y.orValue(b) == -1"),
    "optMap": INNER.format("optional.of(b).optMap(x, x).optFlatMap(y, optional.none()).hasValue()"),
    "types": INNER.format("type(b) == string"),
    "indexes": INNER.format("l[b] == -1"),
    "timestamps": "moments.exists(a, moments.exists(t, timestamp(t) < timestamp(0)))",
    "durations": INNER.format("duration('1h2m3.456789s') == duration('1ms')"),
    "texts of times": INNER.format("string(timestamp(b)) == ''"),
    "sums of times": INNER.format("timestamp(b) + duration('1s') == timestamp(0) - duration('1h')"),
    "time zones": INNER.format("timestamp(b).getHours('Europe/Berlin') > 25"),
    "offsets": INNER.format("timestamp(b).getDayOfYear('-03:30') > 925"),
    "unknown time zones": LOOP.format("timestamp(a).getHours('Area/Nowhere' + string(a)) > 25"),
}


def _ran(source: str, data: dict[str, object]) -> tuple[object, float]:
    """What an expression gives or the code it fails with, and the seconds of CPU it took."""
    expression = compile_expression(source, Scope(names=dict.fromkeys(data, DYN)))
    started = time.process_time()
    try:
        outcome = expression.run(data)
    except ExpressionFailed as failed:
        outcome = failed.code
    return outcome, time.process_time() - started


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_expression_runs_out_of_fuel_in_bounded_time(
    source: str, record_property: Callable[[str, object], None]
) -> None:
    code, seconds = _ran(source, DATA)
    record_property("seconds", seconds)
    assert code == "out_of_fuel"
    assert seconds < LONGEST


FITTING: dict[str, tuple[str, object]] = {
    "filter": ("size(rows.filter(r, r.price > 40 && r.status == 'open'))", 1800),
    "map": ("size(rows.map(r, {'price': r.price, 'twice': r.price * 2}))", 10_000),
    "both": ("size(rows.map(r, r.price == 7, r.tags[0] + r.status))", 200),
    "all": ("rows.all(r, has(r.price) && r.price >= 0)", True),
    "texts": ("size(l.map(a, string(a)).join(',').split(','))", 10_000),
    "membership": ("l.filter(a, a in [1, 5, 7, 9]).size()", 4),
    "moments": ("moments.all(m, m.startsWith('2026'))", True),
}


@pytest.mark.parametrize(("source", "value"), FITTING.values(), ids=FITTING.keys())
def test_honest_work_on_10_000_items_has_fuel_enough(source: str, value: object) -> None:
    result, _ = _ran(source, DATA)
    assert result == value


@pytest.mark.parametrize("of_times", ["l.map(a, timestamp(0))", "[timestamp(0), l + l + l + l + l + l + l]"])
def test_a_large_result_with_times_is_written_in_bounded_time(of_times: str) -> None:
    _, seconds = _ran(of_times, {"l": list(range(6_000))})
    assert seconds < LONGEST


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        ("[timestamp(0)]" + ".map(x, [x, x])" * 30, "out_of_fuel"),
        ("[[timestamp(0), l, l]]" + ".map(x, [x, x])" * 30, "value_too_large"),
    ],
)
def test_a_graph_of_times_too_large_to_be_written_is_refused(source: str, failure: str) -> None:
    code, seconds = _ran(source, {"l": list(range(6_000))})
    assert code == failure
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
    code, seconds = _ran("v", {"v": value})
    assert code == "value_too_large"
    assert seconds < LONGEST


def test_a_result_whose_parts_are_shared_is_as_large_as_it_is_written() -> None:
    code, seconds = _ran("[1]" + ".map(x, [x, x])" * 30, {})
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
