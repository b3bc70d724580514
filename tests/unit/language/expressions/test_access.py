"""Selection, indexing, presence and optionals; a missing key is named with its path, a value never is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import overload

import pytest

from engine.domain.expression import ExpressionFailed
from engine.language.expressions import Scope, compile_expression
from engine.language.expressions.types import DYN, INT, StepsType

Failure = Callable[..., tuple[str, str]]

VALUES: dict[str, object] = {
    "inputs": {"date": "2026-01-02", "limit": 5, "nested": {"list": [10, {"x": None}]}},
    "key": "secret-key",
    "n": 1,
    "tuple": (1, 2),
}

RESULTS: list[tuple[str, object]] = [
    ("inputs.limit", 5),
    ("inputs['limit']", 5),
    ("inputs.nested.list[0]", 10),
    ("inputs.nested.list[n].x", None),
    ("inputs['nested'].list[1]['x']", None),
    ("inputs.nested.list[1.0].x", None),
    ("{'a': 1}.a", 1),
    ("{1: 'one'}[n]", "one"),
    ("{1: 'one'}[1 + 0]", "one"),
    ("dyn({1: 'one'})[1.0]", "one"),
    ("[1, 2][1]", 2),
    ("tuple[1]", 2),
    ("size(tuple)", 2),
    ("has(inputs.limit)", True),
    ("has(inputs.day)", False),
    ("has(inputs.nested.list)", True),
    ("has(inputs['nested'].nope)", False),
    ("inputs.?limit.orValue(1)", 5),
    ("inputs.?day.orValue('x')", "x"),
    ("inputs.?nested.list[0].orValue(1)", 10),
    ("inputs.?nested.?list[?7].orValue(1)", 1),
    ("inputs.?nope.nested.list[0].hasValue()", False),
    ("inputs[?'limit'].orValue(1)", 5),
    ("inputs.nested.list[?0].value()", 10),
    ("inputs.nested.list[?1].?x.hasValue()", True),
    ("inputs.nested.list[?-1].hasValue()", False),
    ("has(inputs.?nested.list)", True),
    ("has(inputs.?nope.list)", False),
    ("optional.of(1).hasValue()", True),
    ("optional.none().or(optional.of(3)).value()", 3),
    ("optional.of(1).or(optional.of(1 / 0)).value()", 1),
    ("inputs.?nope.or(inputs.?limit).or(optional.none()).orValue(0)", 5),
    ("inputs.?limit.optMap(x, x + n).orValue(0)", 6),
    ("inputs.?nope.optMap(x, 1 / 0).orValue(0)", 0),
    ("inputs.?nested.optFlatMap(x, x.?list[?0]).orValue(0)", 10),
    ("inputs.?nope.optFlatMap(x, x.?list).hasValue()", False),
    ("inputs.?nested.optFlatMap(x, x.?nope).hasValue()", False),
    (
        "[0, 0.0, -0.0, '', null, false, [], {}, 1, 'a', [0]].map(x, optional.ofNonZeroValue(x).hasValue())",
        [False] * 8 + [True] * 3,
    ),
    (
        "[timestamp(0), timestamp(1), duration('0')].map(x, optional.ofNonZeroValue(x).hasValue())",
        [False, True, False],
    ),
    ("[1, ?inputs.?limit, ?inputs.?nope, ?optional.of(2)]", [1, 5, 2]),
    ("[?inputs.?nope]", []),
    ("{'a': 1, ?'b': inputs.?limit, ?'c': inputs.?nope}", {"a": 1, "b": 5}),
    ("size({?key: inputs.?nope})", 0),
    ("optional.none().orValue(2)", 2),
    ("[optional.of(1), optional.none()].map(o, o.orValue(0))", [1, 0]),
    ("{'o': optional.none()}.?o.hasValue()", True),
]


@pytest.mark.parametrize(("source", "value"), RESULTS)
def test_reading_gives(evaluate: Callable[..., object], source: str, value: object) -> None:
    assert evaluate(source, VALUES) == value


MISSING = [
    ("inputs.day", "inputs.day: no such key; there are 'date', 'limit', 'nested'"),
    ("inputs['day']", "inputs['day']: no such key; there are 'date', 'limit', 'nested'"),
    ("inputs[key]", "inputs[...]: no such key; there are 'date', 'limit', 'nested'"),
    ("inputs.nested.list[1].y.z", "inputs.nested.list[1].y: no such key; there are 'x'"),
    ("inputs.nested.list[2]", "inputs.nested.list[2]: no such index; the list has 2 elements"),
    ("inputs.nested.list[-n]", "inputs.nested.list[...]: no such index; the list has 2 elements"),
    ("[dyn({})].map(e, e.a)", "e.a: no such key; there are none"),
    ("dyn({})[true]", "dyn(...)[True]: no such key; there are none"),
    ("has(inputs.day.x)", "inputs.day: no such key; there are 'date', 'limit', 'nested'"),
    ("inputs.dat", "inputs.dat: no such key; did you mean 'date'?"),
    ("inputs.nested.lst[0]", "inputs.nested.lst: no such key; did you mean 'list'?"),
    ("[inputs].map(i, i.limits)", "i.limits: no such key; did you mean 'limit'?"),
    ("optional.none().value()", "value() of an optional without a value"),
]


@pytest.mark.parametrize(("source", "detail"), MISSING)
def test_a_missing_key_is_named_with_its_path_and_the_keys_there_are(
    failure: Failure,
    source: str,
    detail: str,
) -> None:
    assert failure(source, VALUES) == ("missing_key", detail)


MISMATCHES = [
    ("inputs.limit.x", "inputs.limit is an int, not a map: inputs.limit.x cannot be read"),
    ("inputs.date[0]", "inputs.date is a string, not a map or list: inputs.date[0] cannot be read"),
    ("inputs.nested.list.x", "inputs.nested.list is a list, not a map: inputs.nested.list.x cannot be read"),
    ("inputs.nested.list['x']", "inputs.nested.list['x']: a list is indexed by an int, not a string"),
    ("tuple[0.5]", "tuple[0.5]: a list is indexed by an int, not a double"),
    ("inputs[[n]]", "inputs[...]: a map is indexed by a string or an int, not a list"),
    ("has(n.x)", "n is an int, not a map: n.x cannot be read"),
    ("n.?x.orValue(1)", "n is an int, not a map: n.x cannot be read"),
    ("n.orValue(1)", "orValue() is a method of an optional, not of an int"),
    ("n.or(optional.of(1)).value()", "or() is a method of an optional, not of an int"),
    ("optional.none().or(dyn(n)).value()", "or() takes an optional, not an int"),
    ("dyn(n).optMap(x, x).value()", "optMap() needs an optional, not an int"),
    ("optional.of(n).optFlatMap(x, x).value()", "the body of optFlatMap() gives an int, not an optional"),
    ("[?n]", "'?' takes an optional, not an int"),
    ("{?'a': n}", "'?' takes an optional, not an int"),
    ("n.value()", "value() has no meaning for an int in n.value(...)"),
]


@pytest.mark.parametrize(("source", "detail"), MISMATCHES)
def test_what_cannot_be_read_into_is_named_by_path_and_kind(
    failure: Failure,
    source: str,
    detail: str,
) -> None:
    assert failure(source, VALUES) == ("type_mismatch", detail)


FAULTS = [
    ("optional.none().or(3)", "1:20: or() takes an optional here, not an int, use orValue(...)"),
    ("optional.of(1).or()", "1:16: or() takes 1 argument, not 0"),
    ("[1].optMap(x, x).hasValue()", "1:5: optMap() needs an optional, not a list"),
    ("optional.of([1]).optMap(x, x + 1).value()", "1:30: '+' has no meaning for a list and an int"),
    (
        "optional.of(1).optFlatMap(x, x + 1).value()",
        "1:30: the body of optFlatMap() is an optional, not an int, use optMap(...)",
    ),
    ("optional.of(1).map(x, x)", "1:16: map() needs a list or a map, not an optional"),
    ("[?1]", "1:3: '?' takes an optional here, not an int, leave it out"),
    ("{?'a': 'b'}", "1:8: '?' takes an optional here, not a string, leave it out"),
    ("[?optional.of(1)][0] + 'a'", "1:22: '+' has no meaning for an int and a string, write string(...)"),
]


@pytest.mark.parametrize(("source", "fault"), FAULTS)
def test_a_wrong_use_of_an_optional_is_refused(
    faults: Callable[..., list[str]], source: str, fault: str
) -> None:
    assert faults(source) == [fault]


def test_the_near_miss_is_found_among_many_keys_and_once_only(failure: Failure) -> None:
    many = {f"key_{index}": index for index in range(100)} | {"total": 1}
    assert failure("m.totla", {"m": many}) == ("missing_key", "m.totla: no such key; did you mean 'total'?")
    source = "l.exists(a, m.totla == 1)"
    assert failure(source, {"l": list(range(3000)), "m": many}) == (
        "missing_key",
        "m.totla: no such key; did you mean 'total'?",
    )


def test_a_long_list_of_keys_is_cut(failure: Failure) -> None:
    many = {f"k{index}": index for index in range(100)}
    _, detail = failure("m.x", {"m": many})
    assert detail == "m.x: no such key; there are 'k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7', ..."


def test_a_name_the_caller_has_not_provided_is_not_available() -> None:
    scope = Scope(names={"error": DYN, "attempt": INT})
    for source, name in [("error.status == 429", "error"), ("attempt", "attempt"), ("error", "error")]:
        with pytest.raises(ExpressionFailed) as caught:
            compile_expression(source, scope).run({})
        assert (caught.value.code, caught.value.detail) == (
            "not_available",
            f"'{name}' is not available here",
        )


class _Lazy(Mapping[str, object]):
    """A mapping that loads a value when it is read, and notes that it was."""

    def __init__(self, values: dict[str, object]) -> None:
        self.loaded: list[str] = []
        self._values = values

    def __getitem__(self, key: str) -> object:
        self.loaded.append(key)
        value = self._values[key]
        if isinstance(value, Exception):
            raise value
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


STEPS = Scope(names={"steps": StepsType(("fetch", "price")), "m": DYN})


def test_only_what_is_read_is_loaded() -> None:
    fetch = _Lazy({"output": {"status": 200}, "status": "completed", "error": None})
    steps = _Lazy({"fetch": fetch, "price": _Lazy({})})
    guard = compile_expression("steps.fetch.output.status == 200 && has(steps.price.output) == false", STEPS)
    assert guard.run({"steps": steps}) is True
    assert fetch.loaded == ["output"]
    assert set(steps.loaded) == {"fetch", "price"}


@pytest.mark.parametrize(
    "error", [ExpressionFailed("not_available", "steps.fetch is failed"), OSError("gone")]
)
@pytest.mark.parametrize("source", ["steps.fetch.output.status", "steps.fetch.?output.orValue(1)"])
def test_what_a_mapping_raises_passes_through_untouched(source: str, error: Exception) -> None:
    steps = {"fetch": _Lazy({"output": error})}
    with pytest.raises(type(error)) as caught:
        compile_expression(source, STEPS).run({"steps": steps})
    assert caught.value is error


def test_or_absorbs_an_expression_failure_of_a_mapping_but_no_foreign_error() -> None:
    source = compile_expression("steps.fetch.output == 1 || true", STEPS)
    failing = ExpressionFailed("not_available", "steps.fetch is failed")
    assert source.run({"steps": {"fetch": _Lazy({"output": failing})}}) is True
    with pytest.raises(OSError, match="gone"):
        source.run({"steps": {"fetch": _Lazy({"output": OSError("gone")})}})


def test_a_lazy_mapping_behaves_as_a_map_everywhere(evaluate: Callable[..., object]) -> None:
    lazy = _Lazy({"a": 1, "b": [2]})
    assert evaluate("size(m) == 2 && 'a' in m && m == {'a': 1, 'b': [2]} && m.all(k, m[k] != 0)", {"m": lazy})
    assert evaluate("m", {"m": lazy}) is lazy


class _Handle(Sequence[object]):
    """A list whose elements are loaded when they are read."""

    def __init__(self, length: int) -> None:
        self.loaded: list[int] = []
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> object: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[object]: ...
    def __getitem__(self, index: int | slice) -> object:
        assert isinstance(index, int)
        if not 0 <= index < self._length:
            raise IndexError(index)
        self.loaded.append(index)
        return {"price": index}


def test_a_lazy_sequence_is_a_list_of_which_only_what_is_read_is_loaded(
    evaluate: Callable[..., object],
) -> None:
    handle = _Handle(10_000)
    assert evaluate("size(h) > 0 && h[7].price == 7 && h.exists(e, e.price == 2)", {"h": handle}) is True
    assert handle.loaded == [7, 0, 1, 2]
    assert evaluate("h[9999].price", {"h": handle}) == 9999
