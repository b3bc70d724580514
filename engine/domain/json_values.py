"""What a JSON value must be to be stored and written again: size, depth, text and numbers."""

from __future__ import annotations

import marshal
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

VALUE_BYTES = 256 * 1024
VALUE_DEPTH = 64
LARGEST_INTEGER = 2**64 - 1
SMALLEST_INTEGER = -(2**63)

_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_MARSHAL_VERSION = 4
_NOT_FINITE = [re.compile(mark + rb".{6}[\xf0-\xff][\x7f\xff]", re.DOTALL) for mark in (b"g", b"\xe7")]
"""A float whose exponent is all ones, as `marshal` writes it: little-endian after a `g`, whose high bit
is set where it may be referred to again. Two patterns: one that begins with a choice takes eight times as
long.
"""


class Unstorable(ValueError):  # noqa: N818  # named as the fact it reports
    """A value or event cannot be stored; `code` is of the catalogue, `detail` names no value."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def are_finite(values: Sequence[object]) -> bool:
    """Whether there is surely no NaN and no infinity in these values: one look costs half of many."""
    return not _may_be_endless(values)


def check_value(value: object, *, is_finite: bool = False) -> None:
    """Raise `Unstorable` with too_large, too_deep, bad_text or bad_number; linear in the value's size.

    The size is that of the compact JSON. Most values are looked through only as bytes. `is_finite` is what
    `are_finite` said of values that this one was among.
    """
    try:
        encoded = orjson.dumps(value)
    except TypeError:
        _look_through(value)
        raise Unstorable("bad_type", "the value is not JSON") from None
    if len(encoded) > VALUE_BYTES:
        raise Unstorable("too_large", f"{len(encoded)} bytes, at most {VALUE_BYTES} are allowed")
    # NUL is written as an escape, NaN and infinities as null.
    is_finite = is_finite or b"null" not in encoded or not _may_be_endless(value)
    if not is_finite or b"\\u0000" in encoded or _is_deep(encoded):
        _look_through(value)


def encoded_json(value: object, default: Callable[[object], object] | None = None, option: int = 0) -> bytes:
    """The value as compact JSON; raises `Unstorable` when it is too deep or not JSON, whatever its size."""
    try:
        encoded = orjson.dumps(value, default, option)
    except orjson.JSONEncodeError:
        _look_through(value)
        raise Unstorable("bad_type", "not JSON") from None
    if encoded.count(b"{") + encoded.count(b"[") > VALUE_DEPTH and _levels(value) > VALUE_DEPTH:
        raise _too_deep()
    return encoded


def _levels(value: object) -> int:
    """How deep lists and objects are nested: a fifth of what looking for it in the JSON costs."""
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level and depth <= VALUE_DEPTH:
        below = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
        level = [part for part in below if isinstance(part, dict | list)]
        depth += 1
    return depth


def _too_deep() -> Unstorable:
    return Unstorable("too_deep", f"nested deeper than {VALUE_DEPTH} levels")


def _may_be_endless(value: Any) -> bool:  # noqa: ANN401  # marshal says itself what it does not take
    """Whether NaN or an infinity may be in a value: never a miss, and a tenth of looking through."""
    try:
        written = marshal.dumps(value, _MARSHAL_VERSION)
        return any(pattern.search(written) is not None for pattern in _NOT_FINITE)
    except ValueError:
        return True


def _is_deep(encoded: bytes) -> bool:
    """Whether JSON is nested too deep, from its brackets outside of texts: each round takes off one level."""
    if encoded.count(b"{") + encoded.count(b"[") <= VALUE_DEPTH:
        return False
    unescaped = encoded.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(unescaped.split(b'"')[::2]).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(VALUE_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _look_through(value: object) -> None:
    level, depth = [value], 0
    while level:
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each)
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
            else:
                _check_leaf(each)
        depth += len(level) > 0 and any(isinstance(each, dict | list) for each in level)
        if depth > VALUE_DEPTH:
            raise _too_deep()
        level = below


def _check_leaf(value: object) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Unstorable("bad_number", "NaN and infinities are no JSON numbers")
    elif isinstance(value, int) and not SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        raise Unstorable("bad_number", "an integer needs more than 64 bits")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise Unstorable("bad_text", "a text contains the character NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unstorable("bad_text", "a text contains a lone surrogate") from None
