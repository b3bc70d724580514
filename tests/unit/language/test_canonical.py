"""One meaning has one canonical form and one hash, however it is written."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Invalid
from engine.language import compile_definition, parse

PLAIN = b"""
playbook: shop/orders
inputs: {day: {type: string}}
steps:
  - {name: one, tool: noop, with: {b: 1, a: "x"}, timeout: 90s}
  - {name: two, tool: noop, retry: {max_attempts: 2, backoff: 2.5}}
"""

SAME = {
    "comments, blocks and quotes": b"""
# a comment
"playbook": 'shop/orders'
inputs:
  day:
    type: "string"
steps:
- name: one
  tool: noop
  with:
    b: 1
    a: x
  timeout: 90s
- name: two
  tool: noop
  retry:
    max_attempts: 2
    backoff: 2.5
""",
    "another order of keys": b"""
steps:
  - {timeout: 90s, with: {a: x, b: 1}, tool: noop, name: one}
  - {retry: {backoff: 2.5, max_attempts: 2}, tool: noop, name: two}
inputs: {day: {type: string}}
playbook: shop/orders
""",
    "durations in other units": PLAIN.replace(b"90s", b"1m30s"),
    "defaults written out": PLAIN.replace(b"{name: two,", b"{name: two, join: all,").replace(
        b"{max_attempts: 2,", b"{max_attempts: 2, delay: 1s, on_lost: retry, jitter: 0,"
    ),
    "an alias": PLAIN.replace(b"name: one", b"name: &one one").replace(b'"x"', b"x"),
}

OTHER = {
    "another value": PLAIN.replace(b"b: 1", b"b: 2"),
    "a number as text": PLAIN.replace(b"b: 1", b'b: "1"'),
    "a float for an integer": PLAIN.replace(b"b: 1", b"b: 1.0"),
    "another order of steps": PLAIN.replace(b"one", b"tmp").replace(b"two", b"one").replace(b"tmp", b"two"),
    "a null default": PLAIN.replace(b"{type: string}", b"{type: string, default: null}"),
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_the_same_content_has_the_same_hash(source: bytes) -> None:
    assert parse(source).hash == parse(PLAIN).hash


@pytest.mark.parametrize("source", OTHER.values(), ids=OTHER)
def test_other_content_has_another_hash(source: bytes) -> None:
    assert parse(source).hash != parse(PLAIN).hash


def test_the_canonical_form_is_sorted_json_without_defaults_and_its_sha_256_is_the_identity() -> None:
    parsed = parse(PLAIN)
    assert parsed.canonical == (
        b'{"inputs":{"day":{"type":"string"}},"playbook":"shop/orders","steps":['
        b'{"name":"one","timeout":"90s","tool":"noop","with":{"a":"x","b":1}},'
        b'{"name":"two","retry":{"backoff":2.5,"max_attempts":2},"tool":"noop"}]}'
    )
    assert parsed.hash == parsed.definition.hash == hashlib.sha256(parsed.canonical).digest()


def test_a_stored_definition_that_this_build_cannot_read_is_invalid() -> None:
    for canonical in (b"{", b"[]", b'{"playbook":"a","steps":[],"future":1}'):
        with pytest.raises(Invalid) as refused:
            compile_definition(canonical)
        assert refused.value.code == "invalid_definition"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0$"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
steps = st.fixed_dictionaries(
    {
        "tool": st.just("noop"),
        "with": st.dictionaries(st.text("abc", max_size=3), json_values),
    },
    optional={
        "timeout": st.integers(1, 10**6).map("{}ms".format),
        "when": st.sampled_from(["true", "execution.id == 'é\u2028'"]),
        "join": st.sampled_from(["all", "any"]),
        "retry": st.just({"max_attempts": 3, "jitter": 0.5}),
        "priority": st.integers(-100, 100),
    },
)


@st.composite
def playbooks(draw: st.DrawFn) -> dict[str, Any]:
    found = draw(st.lists(steps, min_size=1, max_size=4))
    named = [{"name": f"step_{number}", **step} for number, step in enumerate(found)]
    return {"playbook": "a/b", "steps": named}


@given(playbook=playbooks())
@settings(max_examples=30, deadline=None)
def test_the_canonical_form_is_a_source_of_the_same_definition(playbook: dict[str, Any]) -> None:
    parsed = parse(json.dumps(playbook).encode())
    again = parse(parsed.canonical)
    assert again.canonical == parsed.canonical
    stored = json.loads(parsed.canonical)["steps"]
    assert [step["with"] for step in stored] == [step["with"] for step in playbook["steps"]]


def turned(value: object) -> object:
    """The same value with the keys of every mapping in reverse order."""
    if isinstance(value, dict):
        return {key: turned(item) for key, item in reversed(value.items())}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(playbook=playbooks(), indent=st.sampled_from([None, 1, 4]), ascii_only=st.booleans())
@settings(max_examples=30, deadline=None)
def test_formatting_never_changes_the_hash(
    *, playbook: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    written = json.dumps(turned(playbook), indent=indent, ensure_ascii=ascii_only)
    assert parse(written.encode()).hash == parse(json.dumps(playbook).encode()).hash


@given(
    source=st.binary(max_size=60) | st.text("ab: -[]{}&*!|>'\"%@`#?$\n\té\u2028", max_size=60).map(str.encode)
)
@settings(max_examples=80, deadline=None)
def test_random_bytes_are_only_ever_invalid(source: bytes) -> None:
    with pytest.raises(Invalid):
        parse(source)


SEED = PLAIN + b'output: {a: "${ steps.one.output }"}\n'


@given(
    place=st.integers(0, len(SEED)),
    cut=st.integers(0, 6),
    insert=st.text("{}[]:,-&*!|>'\"%@`#?$ \n\tab01.~", max_size=4),
)
@settings(max_examples=80, deadline=None)
def test_a_damaged_playbook_is_valid_or_invalid_and_nothing_else(place: int, cut: int, insert: str) -> None:
    source = SEED[:place] + insert.encode() + SEED[place + cut :]
    with contextlib.suppress(Invalid):
        assert len(parse(source).hash) == 32
