"""The macros walk over lists and the keys of maps, absorb where CEL absorbs, and scope their variables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

VALUES: dict[str, object] = {"l": [1, 2, 3], "m": {"a": 1, "b": 2}, "e": [], "n": 1, "r": [{"k": 1}, {}]}

RESULTS: list[tuple[str, object]] = [
    ("l.exists(x, x == 2)", True),
    ("l.exists(x, x == 9)", False),
    ("e.exists(x, true)", False),
    ("l.all(x, x > 0)", True),
    ("l.all(x, x > 1)", False),
    ("e.all(x, false)", True),
    ("l.exists_one(x, x > 2)", True),
    ("l.exists_one(x, x > 1)", False),
    ("l.filter(x, x != 2)", [1, 3]),
    ("l.map(x, x * 2)", [2, 4, 6]),
    ("l.map(x, x > 1, x * 2)", [4, 6]),
    ("m.map(k, k)", ["a", "b"]),
    ("m.filter(k, m[k] > 1)", ["b"]),
    ("m.exists(k, k == 'b')", True),
    ("m.all(k, size(k) == 1)", True),
    ("l.map(x, l.map(y, x * y))", [[1, 2, 3], [2, 4, 6], [3, 6, 9]]),
    ("l.map(x, l.filter(y, y > x).map(z, z + x))", [[3, 4], [5], []]),
    ("l.map(l, l + 1)", [2, 3, 4]),
    ("l.map(x, [x].map(x, x + 1)[0] + x)", [3, 5, 7]),
    ("l.filter(x, x > 1).map(x, x * 10).exists(x, x == 30)", True),
    ("r.map(x, has(x.k))", [True, False]),
    ("r.map(x, x.?k.orValue(0))", [1, 0]),
    ("r.exists(x, x.k == 1)", True),
    ("r.exists(x, x.k == 2 || !has(x.k))", True),
    ("r.all(x, x.k == 2)", False),
    ("[n, 'a'].exists(x, x == 'a')", True),
]


@pytest.mark.parametrize(("source", "value"), RESULTS)
def test_a_macro_gives(evaluate: Callable[..., object], source: str, value: object) -> None:
    assert evaluate(source, VALUES) == value


FAILURES = [
    ("r.exists(x, x.k == 2)", "missing_key", "x.k: no such key; there are none"),
    ("r.all(x, x.k == 1)", "missing_key", "x.k: no such key; there are none"),
    ("r.exists_one(x, x.k == 1)", "missing_key", "x.k: no such key; there are none"),
    ("r.filter(x, x.k == 1)", "missing_key", "x.k: no such key; there are none"),
    ("r.map(x, x.k)", "missing_key", "x.k: no such key; there are none"),
    ("l.exists(x, x)", "type_mismatch", "the condition of exists() gives an int, not a bool"),
    ("l.map(x, x, 1)", "type_mismatch", "the condition of map() gives an int, not a bool"),
    ("n.map(x, x)", "type_mismatch", "map() needs a list or a map, not an int"),
]


@pytest.mark.parametrize(("source", "code", "detail"), FAILURES)
def test_a_macro_fails(failure: Callable[..., tuple[str, str]], source: str, code: str, detail: str) -> None:
    assert failure(source, VALUES) == (code, detail)


FAULTS = [
    ("[1].all(i.j, true)", "1:11: the first argument of all() is the name of a variable"),
    ("[1].all(i)", "1:5: all() takes 2 arguments, not 1"),
    ("[1].map(i)", "1:5: map() takes 2 or 3 arguments, not 1"),
    ("[1].exists(i, i)", "1:15: the condition of exists() needs a bool, not an int"),
    ("[1].map(i, 'a', i)", "1:12: the condition of map() needs a bool, not a string"),
    ("'a'.map(i, i)", "1:5: map() needs a list or a map, not a string"),
    ("[1].map(i, i + 'a')", "1:14: '+' has no meaning for an int and a string, write string(...)"),
    ("{'a': 1}.all(k, k > 1)", "1:19: '>' has no meaning for a string and an int"),
    ("[1].map(x, x) == x", "1:18: there is no name 'x' here"),
    ("[1].map(if, 1)", "1:9: 'if' is a reserved word"),
    ("map([1], x, x)", "1:1: there is no function map(), write value.map(...)"),
    ("has('a')", "1:1: has() asks for one selected key, write has(a.b)"),
    ("has([1][0])", "1:1: has() asks for one selected key, write has(a.b)"),
]


@pytest.mark.parametrize(("source", "fault"), FAULTS)
def test_a_wrong_macro_is_refused(faults: Callable[..., list[str]], source: str, fault: str) -> None:
    assert fault in faults(source)
