"""No value of a secret survives in what leaves a worker, in any form programs usually write it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from worker.masking import NO_MASK, STARS, Mask
from worker.secret_forms import LEAST_LENGTH

# Stars are what masking writes itself, and half a surrogate pair is no text.
LETTERS = st.characters(exclude_characters="*", exclude_categories=["Cs"])
SPECIAL = st.sampled_from("abcdef01\"\\/+=%& \n\t'ü€😀<>{}[],:;@?#!$()~")
VALUES = st.text(LETTERS | SPECIAL, min_size=LEAST_LENGTH, max_size=12)
NUMBERS = st.integers(1000, 10**12).map(str)
SECRETS = st.lists(VALUES | NUMBERS, min_size=1, max_size=3)


def json_with(parts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | parts
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(parts, inner, max_size=3),
        max_leaves=8,
    )


@st.composite
def outputs(draw: st.DrawFn) -> tuple[list[str], Any]:
    """Secrets, and data that holds them beside and inside of other text and as numbers."""
    secrets = draw(SECRETS)
    around = st.text(SPECIAL, max_size=4)
    part = st.builds(lambda a, s, b: a + s + b, around, st.sampled_from(secrets), around)
    data = draw(json_with(around | part | st.lists(part, min_size=2, max_size=3).map("".join)))
    numbers = [int(secret) for secret in secrets if secret.isascii() and secret.isdigit()]
    return secrets, {"data": data, "numbers": numbers}


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, part in value.items() for text in (*texts(key), *texts(part))]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


@given(outputs())
def test_no_value_survives_in_any_text_key_or_number_of_an_output(case: tuple[list[str], Any]) -> None:
    secrets, data = case
    masked = Mask(secrets).value(data)
    assert [text for text in texts(masked) if any(secret in text for secret in secrets)] == []
    orjson.dumps(masked)


@given(json_with(st.text(st.sampled_from("abc*"), max_size=8)))
def test_an_output_without_them_stays_as_it_is(data: Any) -> None:
    assert Mask(["xyzw", "hunter22"]).value(data) == data
    assert NO_MASK.value(data) is data


@given(SECRETS, st.data())
def test_no_value_survives_in_a_stream_however_it_is_divided(secrets: list[str], data: st.DataObject) -> None:
    around = st.text(SPECIAL, max_size=4)
    parts = data.draw(st.lists(around | st.sampled_from(secrets), max_size=8))
    whole = "".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    passed = bytearray()
    stream = Mask(secrets).stream(passed.extend)
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        stream.feed(whole[begin:end])
    stream.close()
    assert [secret for secret in secrets if secret.encode() in passed] == []


@given(st.binary(max_size=40), st.integers(0, 40))
def test_a_stream_without_them_passes_every_byte(data: bytes, cut: int) -> None:
    passed = bytearray()
    stream = Mask(["\x00\x01\x02\x03\x04\x05"]).stream(passed.extend)
    for part in (data[:cut], data[cut:]):
        stream.feed(part)
    stream.close()
    assert bytes(passed) == data.replace(b"\x00\x01\x02\x03\x04\x05", b"***")


def test_a_stream_holds_back_only_what_may_become_a_value() -> None:
    passed: list[bytes] = []
    stream = Mask(["hunter22", "22 and more"]).stream(passed.append)
    for part in (b"a line\n", b"my hun", b"ger\n", b"hunter22", b" and less", b"hunter2"):
        stream.feed(part)
    assert passed == [b"a line\n", b"my ", b"hunger\n", b"*** and less"]
    stream.close()
    assert passed[-1] == b"hunter2"


WRITTEN = [
    lambda value: value,
    json.dumps,
    lambda value: orjson.dumps({"k": value}).decode(),
    lambda value: json.dumps({"sent": json.dumps({"token": value})}),
    repr,
    lambda value: repr(value.encode()),
    lambda value: quote(value, safe=""),
    quote,
    quote_plus,
    lambda value: re.sub("%..", lambda found: found[0].lower(), quote(value, safe="")),
    lambda value: urlencode({"k": value}),
    lambda value: str(URL("http://h/").with_query(k=value)),
    lambda value: str(URL.build(scheme="http", host="h", path=f"/{value}")),
    lambda value: str(URL(f"http://h/{value}")) if not re.search("[#?%\n]", value) else value,
    lambda value: str(URL(f"http://h/?k={value}")) if not re.search("[#%\n]", value) else value,
    lambda value: str(URL.build(scheme="http", host="h", user="u", password=value)),
    lambda value: f"{URL('http://h/').with_query([('k', value)])!r}",
    lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
    lambda value: base64.b64encode(f"us:{value}:x".encode()).decode(),
    lambda value: base64.urlsafe_b64encode(f"u:{value}/x".encode()).decode(),
]
AWKWARD = [
    "hunter22",
    "tok+en/with=all&of:it@x",
    'quote" and back\\slash',
    "it's 100% größe €",
    "{[(!$'*,;?#~)]}",
    "line one\nline two\n",
]


@pytest.mark.parametrize("write", WRITTEN)
@pytest.mark.parametrize("value", AWKWARD)
def test_a_value_is_found_in_the_forms_in_which_programs_write_it(value: str, write: Any) -> None:
    text = write(value)
    masked = Mask([value]).text(f"<{text}>")
    assert STARS in masked
    kept = masked.replace(STARS, "")
    assert text not in kept
    # Nearly nothing of it is left: what base64 mixes with its neighbours, and what stood around it.
    assert len(kept) <= len(write("")) + 8, kept


def test_each_line_of_a_value_is_hidden_by_itself() -> None:
    key = "-----BEGIN KEY-----\nMIIEpQIBAAKCAQEA\n  qwertz\nab\n-----END KEY-----\n"
    mask = Mask([key])
    assert mask.text("2: MIIEpQIBAAKCAQEA\n3: qwertz.") == f"2: {STARS}\n3: {STARS}."
    assert mask.text("ab") == "ab"


def test_the_longest_value_is_hidden_whole() -> None:
    assert Mask(["user", "user:pass", "username"]).text("user:pass username user") == "*** *** ***"


def test_what_only_becomes_json_when_written_is_masked_too() -> None:
    @dataclass
    class Record:
        name: str

    mask = Mask(["hunter22"])
    assert mask.value([Record("hunter22")]) == [{"name": STARS}]
    assert mask.value(("hunter22", 2**70, 1.5)) == [STARS, 2**70, 1.5]
    unknown = object()
    assert mask.value(unknown) is unknown


def test_a_number_is_hidden_where_its_digits_are_a_value() -> None:
    mask = Mask(["4711471", "1.25"])
    assert mask.value([4711471, 147114711, 1.25, 12.5, True]) == [STARS, "1***1", STARS, 12.5, True]


def test_what_is_nested_too_deeply_is_hidden_whole() -> None:
    deep: Any = "hunter22"
    for _ in range(5_000):
        deep = [deep]
    assert Mask(["hunter22"]).value(deep) == STARS
