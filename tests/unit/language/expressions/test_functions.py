"""The functions and methods, as the CEL specification and its strings extension define them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

VALUES: dict[str, object] = {
    "s": "héllo wörld",
    "l": ["a", "b"],
    "i": 3,
    "d": 2.5,
    "m": {"a": 1},
    "big": 2**70,
}

RESULTS: list[tuple[str, object]] = [
    ("size('')", 0),
    ("size(s)", 11),
    ("s.size()", 11),
    ("size(l) + l.size() + size(m) + {}.size()", 5),
    ("s.contains('llo')", True),
    ("s.contains('x')", False),
    ("s.startsWith('hé')", True),
    ("s.endsWith('ld')", True),
    ("'aBÀ'.lowerAscii()", "abÀ"),
    ("'aBà'.upperAscii()", "ABà"),
    (r"' \t\u00a0\u3000a b\n'.trim()", "a b"),
    (r"'\x1fa'.trim()", "\x1fa"),
    ("'a,b,,c'.split(',')", ["a", "b", "", "c"]),
    ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
    ("'a,b,c'.split(',', 0)", []),
    ("'a,b,c'.split(',', -1)", ["a", "b", "c"]),
    ("'a,b,c'.split(',', 9)", ["a", "b", "c"]),
    ("'a,b'.split(',', 1)", ["a,b"]),
    ("''.split(',')", [""]),
    ("'abc'.split('')", ["a", "b", "c"]),
    ("'abc'.split('', 2)", ["a", "bc"]),
    ("''.split('')", [""]),
    ("l.join()", "ab"),
    ("l.join('-')", "a-b"),
    ("[].join('-')", ""),
    ("'banana'.replace('a', 'o')", "bonono"),
    ("'banana'.replace('a', 'o', 2)", "bonona"),
    ("'banana'.replace('a', 'o', 0)", "banana"),
    ("'banana'.replace('a', '', -1)", "bnn"),
    ("'ab'.replace('', '-')", "-a-b-"),
    ("s.substring(6)", "wörld"),
    ("s.substring(1, 3)", "él"),
    ("s.substring(11)", ""),
    ("s.indexOf('l')", 2),
    ("s.indexOf('l', 4)", 9),
    ("s.indexOf('x')", -1),
    ("s.indexOf('', 11)", 11),
    ("s.lastIndexOf('l')", 9),
    ("s.lastIndexOf('l', 8)", 3),
    ("s.lastIndexOf('ll', 2)", 2),
    ("s.lastIndexOf('ll', 1)", -1),
    ("s.lastIndexOf('')", 11),
    ("s.lastIndexOf('', 4)", 4),
    ("''.lastIndexOf('a')", -1),
    ("s.charAt(1)", "é"),
    ("s.charAt(11)", ""),
    ("'ab'.substring(1, 2)", "b"),
    ("type(1) == int && type(d) == double && type('') == string && type(true) == bool", True),
    ("type(null) == null_type && type(l) == list && type(m) == map && type(type(1)) == type", True),
    ("type(m.?a) == optional_type && type(timestamp(0)) == google.protobuf.Timestamp", True),
    ("type(timestamp(1) - timestamp(0)) == google.protobuf.Duration && type(1) != double", True),
    ("type(i) in [int, double]", True),
    ("[1].map(int, int + 1)", [2]),
    ("string('a') + string(1) + string(true) + string(-9223372036854775808)", "a1true-9223372036854775808"),
    ("string(1.0)", "1"),
    ("string(2.5)", "2.5"),
    ("string(1234567.0)", "1234567"),
    ("string(0.1)", "0.1"),
    ("string(1e100)", "1e+100"),
    ("int('42') + int('-1') + int('+1')", 42),
    ("int(2.9)", 2),
    ("int(-2.9)", -2),
    ("int(i)", 3),
    ("double(i)", 3.0),
    ("double('1.5e3')", 1500.0),
    ("double('-.5')", -0.5),
    ("double(d)", 2.5),
    ("bool('true')", True),
    ("bool('0')", False),
    ("bool(true)", True),
    ("dyn(i) == 3", True),
]


@pytest.mark.parametrize(("source", "value"), RESULTS)
def test_a_function_gives(evaluate: Callable[..., object], source: str, value: object) -> None:
    result = evaluate(source, VALUES)
    assert result == value
    assert type(result) is type(value)


FAILURES = [
    ("int('12x')", "type_mismatch", "int() is given a string that is no whole number"),
    ("int('1_0')", "type_mismatch", "int() is given a string that is no whole number"),
    ("int('٣')", "type_mismatch", "int() is given a string that is no whole number"),
    ("int('')", "type_mismatch", "int() is given a string that is no whole number"),
    (
        "int('9223372036854775808')",
        "overflow",
        "int() is given a number outside of the range of a 64-bit int",
    ),
    ("int(1e19)", "overflow", "int() is given a double outside of the range of a 64-bit int"),
    ("int(0.0 / 0.0)", "overflow", "int() is given a double outside of the range of a 64-bit int"),
    ("string(big)", "overflow", "string() is given a number outside of the range of a 64-bit int"),
    ("double(big)", "overflow", "double() is given a number outside of the range of a 64-bit int"),
    ("double('nan')", "type_mismatch", "double() is given a string that is no number"),
    ("double('1,5')", "type_mismatch", "double() is given a string that is no number"),
    ("bool('yes')", "type_mismatch", "bool() is given a string that is neither 'true' nor 'false'"),
    ("s.substring(12)", "missing_key", "substring() is asked for a range outside of the string"),
    ("s.substring(3, 2)", "missing_key", "substring() is asked for a range outside of the string"),
    ("s.substring(-1)", "missing_key", "substring() is asked for a range outside of the string"),
    ("s.indexOf('a', 12)", "missing_key", "indexOf() is asked for an index outside of the string"),
    ("s.charAt(12)", "missing_key", "charAt() is asked for an index outside of the string"),
    ("s.charAt(-1)", "missing_key", "charAt() is asked for an index outside of the string"),
    ("s.lastIndexOf('a', 12)", "missing_key", "lastIndexOf() is asked for an index outside of the string"),
    ("[i].join()", "type_mismatch", "join() takes a list of strings, and an element is none"),
    ("size(i)", "type_mismatch", "size() has no meaning for an int in size(...)"),
    ("m.a.size()", "type_mismatch", "size() has no meaning for an int in m.a.size(...)"),
    ("m.a.split(',')", "type_mismatch", "split() has no meaning for an int, a string in m.a.split(...)"),
    ("string(l)", "type_mismatch", "string() has no meaning for a list in string(...)"),
]


@pytest.mark.parametrize(("source", "code", "detail"), FAILURES)
def test_a_function_fails_without_telling_a_value(
    failure: Callable[..., tuple[str, str]],
    source: str,
    code: str,
    detail: str,
) -> None:
    assert failure(source, VALUES) == (code, detail)


FAULTS = [
    ("size(1)", "1:6: size() takes a list or a map or a string here, not an int"),
    ("size()", "1:1: size() takes 1 argument, not 0"),
    ("1 + size(1 + 1)", "1:10: size() takes a list or a map or a string here, not an int"),
    ("true.size()", "1:6: size() is a method of a list or a map or a string, not of a bool"),
    ("'a'.split(1)", "1:11: split() takes a string here, not an int"),
    ("'a'.split()", "1:5: split() takes 1 or 2 arguments, not 0"),
    ("'a'.containz('b')", "1:5: there is no method containz(), did you mean 'contains'?"),
    ("contains('a', 'b')", "1:1: there is no function contains(), write value.contains(...)"),
    ("'a'.int()", "1:5: there is no method int(), write int(...)"),
    ("strin(1)", "1:1: there is no function strin(), did you mean 'string'?"),
    ("int(true)", "1:5: int() takes a double or an int or a string or a timestamp here, not a bool"),
    (
        "'a'.matches('.*')",
        (
            "1:5: matches() is refused: there are no regular expressions in this language, "
            "write contains(), split() or indexOf()"
        ),
    ),
    (
        "now() > timestamp(0)",
        (
            "1:1: now() is refused: there is no clock in this language: "
            "an expression gives the same value whenever it runs"
        ),
    ),
    ("type(1)", "1:1: a type is no result, compare it: type(a) == string"),
    ("[type(1)].map(x, x + 1)", "1:20: '+' has no meaning for a type and an int"),
    (
        "(1).orValue(2)",
        "1:5: orValue() is a method of an optional, not of an int, select with '.?' or '[?...]'",
    ),
    ("optional.of(1).orValue()", "1:16: orValue() takes 1 argument, not 0"),
    ("optional.of(1)", "1:1: an optional is no result, end with .orValue(...)"),
    ("f(1,)", "1:5: unexpected ')', expected an argument"),
]


@pytest.mark.parametrize(("source", "fault"), FAULTS)
def test_a_wrong_call_is_refused(faults: Callable[..., list[str]], source: str, fault: str) -> None:
    assert faults(source) == [fault]
