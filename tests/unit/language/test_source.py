"""Sources are read strictly: hostile ones are refused early, and text stays text."""

from __future__ import annotations

import json

import pytest

from engine.errors import Invalid
from engine.language import parse
from engine.language.source import read
from tests.support.work import MOST_CALLS, calls_of

DEEP = 65
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

HOSTILE = {
    "an alias bomb": (BOMB, "more than 50000 values"),
    "an alias bomb of text": (
        f"a: &a {'x' * 20_000}\nb: [{', '.join(['*a'] * 90)}]",
        "more than 1 MiB of text",
    ),
    "more than 100 aliases": (f"a: &a x\nb: [{', '.join(['*a'] * 101)}]", "more than 100 aliases"),
    "an alias of itself": ("a: &a [*a]", "contains itself"),
    "an alias as a key": ("a: &a x\n*a : y", "an alias cannot be a key"),
    "an unknown alias": ("a: *b", "names no anchor"),
    "100,000 keys": ("".join(f"k{number}:\n" for number in range(100_000)), "more than 50000 values"),
    "deep lists": ("[" * 100_000, "deeper than 64"),
    "deep mappings": ("{a: " * DEEP + "}" * DEEP, "deeper than 64"),
    "deep blocks": ("".join(" " * depth + "a:\n" for depth in range(DEEP + 1)), "deeper than 64"),
    "depth through an alias": (f"a: &a {'[' * 40}{']' * 40}\nb: {'[' * 40}*a{']' * 40}", "deeper than 64"),
    "deep keys": ("? " * 1000, "a key must be text"),
    "a list as a key": ("? [a]\n: b", "a key must be text"),
    "nothing": ("", "the source is empty"),
    "only comments": ("# a playbook\n", "the source is empty"),
    "two documents": ("a: b\n---\nc: d\n", "a second document"),
    "text behind the document": ("a: b\n...\nc\n", "text after the end of the document"),
    "a directive": ("%YAML 1.1\n---\na: b\n", "directives are not allowed"),
    "a tag directive": ("%TAG ! tag:x,2000:\n---\na: b\n", "directives are not allowed"),
    "a control character": ("a: \x07", "U+0007"),
    "an unquoted at sign": ("a: @b", "cannot start a value"),
}


def faults_of(source: str | bytes) -> list[str]:
    document = read(source if isinstance(source, bytes) else source.encode())
    return [fault.render("x") for fault in document.faults]


def value_of(text: str) -> object:
    document = read(f"value: {text}\n".encode())
    assert document.faults == []
    assert document.root is not None
    data = document.root.data()
    assert isinstance(data, dict)
    return data["value"]


@pytest.mark.parametrize(("source", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_source_is_refused_with_bounded_work(source: str, words: str) -> None:
    faults = faults_of(source)
    assert calls_of(lambda: faults_of(source)) < MOST_CALLS
    assert len(faults) == 1
    assert words in faults[0]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"a" * 1_048_577, "1048577 bytes, more than 1 MiB"),
        ("a: b".encode("utf-16"), "UTF-16"),
        ("a: b".encode("utf-32"), "UTF-32"),
        (b"\xef\xbb\xbfa: b", "byte order mark"),
        ("a: b".encode("utf-16-le"), "U+0000"),
        (b"a: b\nc: \xe9", "x:2:4: the source is not UTF-8"),
    ],
)
def test_only_plain_utf_8_of_at_most_1_mib_is_read(source: bytes, words: str) -> None:
    assert words in faults_of(source)[0]


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "off",
        "no",
        "yes",
        "y",
        "0777",
        "010",
        "-01",
        "12:30",
        "12:30:45",
        "2026-01-31",
        "1_000",
        "0b1",
        "=",
    ],
)
def test_what_only_yaml_1_1_would_convert_stays_text(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("9223372036854775807", 2**63 - 1),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ('"true"', "true"),
        ("'1'", "1"),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: object) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", [".nan", ".NaN", ".inf", "-.INF", "1e999", "9223372036854775808", "9" * 5000]
)
def test_numbers_that_json_cannot_hold_are_refused(text: str) -> None:
    assert len(faults_of(f"a: {text}")) == 1


@pytest.mark.parametrize(
    "value",
    [
        {"text": "snow \u2603, clef \U0001d11e, next\u2028line\u0085 and \x7f, \ufeff"},
        {"path": "C:\\new\\\\ud83d\\ude00", "quote": '"', "slash": "a/b", "control": "\x01\t\n"},
        {"": [], "nested": {"list": [[], {}, [None, True, -1, 1.5e-7]]}},
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_means_what_it_says(*, value: object, ascii_only: bool, indent: int | str | None) -> None:
    document = read(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode())
    assert document.faults == []
    assert document.root is not None
    assert document.root.data() == value


def test_positions_inside_a_text_are_exact_however_it_is_quoted() -> None:
    source = """
playbook: a
steps:
  - {name: a, tool: noop, when: nope}
  - {name: b, tool: noop, when: 'nope'}
  - {name: c, tool: noop, when: "nope"}
  - name: d
    tool: noop
    when: |
        true &&
          nope
  - {name: e, tool: noop, when: "\\x6eope"}
"""
    with pytest.raises(Invalid) as refused:
        parse(source.encode())
    assert [(fault["line"], fault["column"]) for fault in refused.value.data["faults"]] == [
        (4, 33),
        (5, 34),
        (6, 34),
        (11, 11),
        (12, 33),
    ]
