"""Operators: int64 exactness, CEL's division, numeric comparison across kinds, lazy and absorbing logic."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

VALUES: dict[str, object] = {
    "i": 7,
    "d": 2.5,
    "s": "text",
    "b": True,
    "n": None,
    "l": [1, 2, "x"],
    "m": {"a": 1},
    "nan": math.nan,
}

RESULTS: list[tuple[str, object]] = [
    ("1 + 2 * 3 - 4", 3),
    ("(1 + 2) * 3", 9),
    ("10 - 3 - 2", 5),
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("7 / -2", -3),
    ("7 % 3", 1),
    ("-7 % 3", -1),
    ("7 % -3", 1),
    ("9223372036854775806 + 1", 2**63 - 1),
    ("1.5 + 1.0", 2.5),
    ("1.0 / 4.0", 0.25),
    ("1.0 / 0.0 > 1.0", True),
    ("-1.0 / 0.0 < 1.0", True),
    ("0.0 / 0.0 == 0.0 / 0.0", False),
    ("'a' + 'b' + s", "abtext"),
    ("[1] + ['a'] + l", [1, "a", 1, 2, "x"]),
    ("-i", -7),
    ("--i", 7),
    ("1 - -1", 2),
    ("!b", False),
    ("!!b", True),
    ("1 < 2", True),
    ("2 <= 2", True),
    ("1 > 1.5", False),
    ("i >= d", True),
    ("9007199254740993 > 9007199254740992.0", True),
    ("'a' < 'b'", True),
    ("'Z' < 'a'", True),
    ("false < true", True),
    ("nan < 1.0 || nan >= 1.0", False),
    ("b ? 1 : 2", 1),
    ("false ? 1 : true ? 2 : 3", 2),
    ("i > 5 ? 'big' : null", "big"),
    ("b || false && false", True),
    ("1 + 1 == 2 && 2 < 3", True),
    ("2 in l", True),
    ("2.0 in l", True),
    ("'y' in l", False),
    ("true in [1]", False),
    ("1 in [true, 'a']", False),
    ("b in [true]", True),
    ("null in [null]", True),
    ("i in [5, 6.5, 7.0]", True),
    ("[1] in [[1.0]]", True),
    ("l in [1, 2]", False),
    ("'a' in m", True),
    ("1 in m", False),
    ("true in {1: 'x'}", False),
    ("1.0 in {1: 'x'}", True),
    ("!(1 in [2])", True),
]


@pytest.mark.parametrize(("source", "value"), RESULTS)
def test_an_operator_gives(evaluate: Callable[..., object], source: str, value: object) -> None:
    result = evaluate(source, VALUES)
    assert result == value
    assert type(result) is type(value)


EQUALITY: list[tuple[str, bool]] = [
    ("1 == 1", True),
    ("1 == 1.0", True),
    ("1 == 2", False),
    ("9007199254740993 == 9007199254740992.0", False),
    ("true == 1", False),
    ("1 == true", False),
    ("0 == false", False),
    ("1.0 == true", False),
    ("'1' == 1", False),
    ("null == false", False),
    ("null == n", True),
    ("'a' == 'a'", True),
    ("[1] == [1.0]", True),
    ("[1] == [true]", False),
    ("[1, 2] == [1]", False),
    ("[[1, [true]]] == [[1, [1]]]", False),
    ("{'a': 1} == {'a': 1.0}", True),
    ("{'a': 1} == {'a': true}", False),
    ("{'a': 1} == {'b': 1}", False),
    ("{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", True),
    ("[] == {}", False),
    ("nan == nan", False),
    ("[nan] == [nan]", False),
    ("l == l", True),
    ("m == {'a': 1}", True),
    ("m != 1", True),
    ("optional.of(1) == optional.of(1.0)", True),
    ("optional.of(1) == optional.none()", False),
    ("optional.none() == optional.none()", True),
]


@pytest.mark.parametrize(("source", "value"), EQUALITY)
def test_equality_never_confuses_kinds(evaluate: Callable[..., object], source: str, *, value: bool) -> None:
    assert evaluate(source, VALUES) is value


FAILURES = [
    ("9223372036854775807 + 1", "overflow"),
    ("-9223372036854775807 - 2", "overflow"),
    ("9223372036854775807 * 2", "overflow"),
    ("-(-9223372036854775808)", "overflow"),
    ("-9223372036854775808 / -1", "overflow"),
    ("-9223372036854775808 % -1", "overflow"),
    ("1 / 0", "division_by_zero"),
    ("1 % 0", "division_by_zero"),
    ("1.0 / 0.0", "type_mismatch"),
    ("nan", "type_mismatch"),
]


@pytest.mark.parametrize(("source", "code"), FAILURES)
def test_arithmetic_that_has_no_result_fails(
    failure: Callable[..., tuple[str, str]],
    source: str,
    code: str,
) -> None:
    assert failure(source, VALUES)[0] == code


MISMATCHES = [
    ("i + d", "'+' has no meaning for an int and a double in i + d"),
    ("s + i", "'+' has no meaning for a string and an int in s + i"),
    ("b + b", "'+' has no meaning for a bool and a bool in b + b"),
    ("l - l", "'-' has no meaning for a list and a list in l - l"),
    ("d % d", "'%' has no meaning for a double and a double in d % d"),
    ("m.a * s", "'*' has no meaning for an int and a string in m.a * s"),
    ("b / i", "'/' has no meaning for a bool and an int in b / i"),
    ("i < s", "'<' has no meaning for an int and a string in i < s"),
    ("b < i", "'<' has no meaning for a bool and an int in b < i"),
    ("l >= l", "'>=' has no meaning for a list and a list in l >= l"),
    ("i in s", "'in' has no meaning for an int and a string in i in s"),
    ("n in m", "'in' has no meaning for null and a map in n in m"),
    ("l in m", "'in' has no meaning for a list and a map in l in m"),
    ("-s", "'-' has no meaning for a string in s"),
    ("-b", "'-' has no meaning for a bool in b"),
    ("!n", "'!' has no meaning for null in n"),
    ("i ? 1 : 2", "the condition of '?:' is an int, not a bool in i"),
    ("i || false", "'||' needs bools, not an int"),
    ("b && s", "'&&' needs bools, not a string"),
]


@pytest.mark.parametrize(("source", "detail"), MISMATCHES)
def test_operands_of_the_wrong_kind_are_named_by_path_and_kind_never_by_value(
    failure: Callable[..., tuple[str, str]],
    source: str,
    detail: str,
) -> None:
    assert failure(source, VALUES) == ("type_mismatch", detail)


LOGIC: list[tuple[str, bool]] = [
    ("true || m.x", True),
    ("m.x || true", True),
    ("1 / 0 == 1 || false || true", True),
    ("i || true", True),
    ("false && m.x", False),
    ("m.x && false", False),
    ("m.x && i && false", False),
    ("true || true || m.x", True),
]


@pytest.mark.parametrize(("source", "value"), LOGIC)
def test_and_and_or_absorb_a_failure_on_either_side(
    evaluate: Callable[..., object],
    source: str,
    *,
    value: bool,
) -> None:
    assert evaluate(source, VALUES) is value


@pytest.mark.parametrize("source", ["m.x || false", "false || m.x", "m.x && true", "true && m.x", "m.x || i"])
def test_and_and_or_fail_when_nothing_decides(failure: Callable[..., tuple[str, str]], source: str) -> None:
    assert failure(source, VALUES)[0] in {"missing_key", "type_mismatch"}


def test_the_first_failure_decides_what_is_reported(failure: Callable[..., tuple[str, str]]) -> None:
    code, _ = failure("false || m.x || 1 / 0 == 1", VALUES)
    assert code == "missing_key"


@pytest.mark.parametrize("source", ["true ? 1 : m.x", "false ? m.x : 1", "m.?a.orValue(m.x)"])
def test_what_is_not_chosen_is_not_evaluated(evaluate: Callable[..., object], source: str) -> None:
    assert evaluate(source, VALUES) == 1
