"""Every literal has the value its source says, and what the language lacks is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

LITERALS: list[tuple[str, object]] = [
    ("null", None),
    ("true", True),
    ("false", False),
    ("0", 0),
    ("42", 42),
    ("007", 7),
    ("0x1F", 31),
    ("0Xff", 255),
    ("-0x10", -16),
    ("9223372036854775807", 2**63 - 1),
    ("-9223372036854775808", -(2**63)),
    ("- 9223372036854775808", -(2**63)),
    ("00000000000000000000000000000001", 1),
    ("1.5", 1.5),
    (".5", 0.5),
    ("-.5", -0.5),
    ("1e3", 1000.0),
    ("1.5E-2", 0.015),
    ("''", ""),
    ("'it'", "it"),
    ('"it\'s"', "it's"),
    (r"'\a\b\f\n\r\t\v\\\?\"\'\`'", "\a\b\f\n\r\t\v\\?\"'`"),
    (r"'\x41\u00e9\U0001F600\101'", "Aé😀A"),
    (r"r'a\n'", r"a\n"),
    (r'R"\"', "\\"),
    ("'''a\n'b'''", "a\n'b"),
    ('"""a\n"b\\n"""', 'a\n"b\n'),
    (r"r'''a\'''", "a\\"),
    ("'日本'", "日本"),
    ("[]", []),
    ("[1, 'a', null,]", [1, "a", None]),
    ("[[1], []]", [[1], []]),
    ("{}", {}),
    ("{'a': 1, 'b': {'c': []},}", {"a": 1, "b": {"c": []}}),
    ("  1 // one\n + // and\n 1", 2),
]


@pytest.mark.parametrize(("source", "value"), LITERALS)
def test_a_literal_is_its_value(evaluate: Callable[..., object], source: str, value: object) -> None:
    result = evaluate(source)
    assert result == value
    assert type(result) is type(value)


REFUSED = [
    ("1u", "1:1: there are no unsigned ints in this language, write 1"),
    (" 0xFFU", "1:2: there are no unsigned ints in this language, write 0xFF"),
    ("b'x'", "1:1: there are no bytes in this language, write a string"),
    ("1 + rb'x'", "1:5: there are no bytes in this language, write a string"),
    ("9223372036854775808", "1:1: this int does not fit into 64 bits"),
    ("-9223372036854775809", "1:2: this int does not fit into 64 bits"),
    ("9" * 5000, "1:1: this int does not fit into 64 bits"),
    ("1e999", "1:1: this double is too large"),
    ("12ab", "1:1: '12ab' is no number"),
    ("1.5.2", "1:4: unexpected '.2', expected an operator or the end"),
    ("'open", "1:1: this string is not closed"),
    ("'a\nb'", "1:1: this string is not closed"),
    ("1 +\n '''open'", "2:2: this string is not closed"),
    ("r'''open'", "1:1: this string is not closed"),
    (r"'ab\q'", r"1:4: '\\q' is no escape of a character, write '\\'"),
    (r"'\ud800'", r"1:2: '\\ud800' is no escape of a character, write '\\'"),
    (r"'\x00'", r"1:2: '\\x00' is no escape of a character, write '\\'"),
    (r"'\U00110000'", r"1:2: '\\U00110000' is no escape of a character, write '\\'"),
    ("'a\x00'", "1:3: a source may hold neither NUL nor half a surrogate pair"),
    ("'\ud800'", "1:2: a source may hold neither NUL nor half a surrogate pair"),
    ("{1.5: 1}", "1:2: the key of a map is a string or an int, not a double"),
    ("{true: 1}", "1:2: the key of a map is a string or an int, not a bool"),
    ("{'a': 1, 'a': 2}", "1:10: this key is there twice"),
]


@pytest.mark.parametrize(("source", "fault"), REFUSED)
def test_a_bad_literal_is_refused_at_its_place(
    faults: Callable[..., list[str]],
    source: str,
    fault: str,
) -> None:
    assert faults(source) == [fault]
