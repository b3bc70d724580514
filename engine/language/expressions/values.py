"""The values of the language as plain Python objects: their kinds, equality, and the check of a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from engine.domain.expression import ExpressionFailed
from engine.domain.handles import Handle
from engine.language.expressions.frame import Frame
from engine.language.expressions.types import worded

MAX_RESULT = 256 * 1024
NUMBERS = frozenset({"int", "double"})
_BYTES_OF_CONSTANT = 5
_BYTES_OF_REFERENCE = 256


@dataclass(frozen=True, slots=True)
class Maybe:
    """An optional: a value that is there, or `NOTHING`."""

    value: object
    present: bool = True


NOTHING = Maybe(None, present=False)

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    list: "list",
    tuple: "list",
    dict: "map",
    Maybe: "optional",
}
_SCALARS = frozenset({type(None), bool, int, float, str})


def kind_of(value: object) -> str:
    """The kind of a value; `unknown` for an object that is no value of the language.

    A handle has none: raises `value_too_large`, so that nothing ever works on one by mistake.
    """
    return _KINDS.get(type(value)) or _foreign_kind(value)


def _foreign_kind(value: object) -> str:
    if isinstance(value, Handle):
        raise value.refused()
    if isinstance(value, Mapping):
        return "map"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return "list"
    return "unknown"


def equal(frame: Frame, left: object, right: object) -> bool:
    """CEL's equality: numbers by value, anything else only with its own kind; pays for what it compares."""
    kind = type(left)
    if kind is type(right) and kind in _SCALARS:
        if isinstance(left, str):
            frame.spend(len(left) >> 4)
        return left == right
    return _deeply_equal(frame, left, right)


def _deeply_equal(frame: Frame, left: object, right: object) -> bool:
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        frame.spend(1)
        kind, other_kind = kind_of(one), kind_of(other)
        if kind == other_kind:
            if not _same(frame, one, other, pairs):
                return False
        elif not (kind in NUMBERS and other_kind in NUMBERS and one == other):
            return False
    return True


def _same(frame: Frame, one: object, other: object, pairs: list[tuple[object, object]]) -> bool:
    match one, other:
        case str(), str():
            frame.spend(len(one) >> 4)
            return one == other
        case Maybe(), Maybe():
            pairs.append((one.value, other.value))
            return one.present is other.present
        case Mapping(), Mapping():
            return _same_keys(frame, one, other, pairs)
        case Sequence(), Sequence():
            frame.spend(len(one))
            pairs.extend(zip(one, other, strict=False))
            return len(one) == len(other)
        case _:
            return one == other


def _same_keys(
    frame: Frame,
    one: Mapping[object, object],
    other: Mapping[object, object],
    pairs: list[tuple[object, object]],
) -> bool:
    if len(one) != len(other):
        return False
    frame.spend(len(one))
    for key, value in one.items():
        if key not in other:
            return False
        pairs.append((value, other[key]))
    return True


def check_result(value: object) -> None:
    """Raise `ExpressionFailed` unless a value is JSON of at most about 256 KiB; never recursive."""
    if isinstance(value, str) and len(value) <= MAX_RESULT >> 2:
        return
    left = MAX_RESULT
    waiting = [value]
    while waiting:
        item = waiting.pop()
        left -= _MEASURES.get(type(item), _foreign_bytes)(item, waiting, left)
        if left < 0:
            raise ExpressionFailed("value_too_large", f"the result is larger than {MAX_RESULT} bytes")


def _constant_bytes(_: object, __: list[object], ___: int) -> int:
    return _BYTES_OF_CONSTANT


def _reference_bytes(_: object, __: list[object], ___: int) -> int:
    return _BYTES_OF_REFERENCE


def _int_bytes(value: int, _: list[object], __: int) -> int:
    return (value.bit_length() * 77 >> 8) + 2


def _double_bytes(value: float, _: list[object], __: int) -> int:
    if not isfinite(value):
        raise _not_json("a number that is not finite")
    return len(repr(value))


def _text_bytes(text: str, _: object = None, __: int = 0) -> int:
    if len(text) > MAX_RESULT or text.isascii():
        return len(text) + 2
    return len(text.encode(errors="surrogatepass")) + 2


def _list_bytes(items: Sequence[object], waiting: list[object], left: int) -> int:
    if len(items) < left:
        waiting.extend(items)
    return len(items) + 2


def _map_bytes(items: Mapping[object, object], waiting: list[object], left: int) -> int:
    size = 2 * len(items) + 2
    if size > left:
        return size
    for key, value in items.items():
        if not isinstance(key, str):
            raise _not_json(f"a map with {worded(kind_of(key))} as a key")
        size += _text_bytes(key)
        waiting.append(value)
    return size


def _foreign_bytes(value: object, waiting: list[object], left: int) -> int:
    kind = kind_of(value)
    if isinstance(value, Mapping):
        return _map_bytes(value, waiting, left)
    if kind == "list" and isinstance(value, Sequence):
        return _list_bytes(value, waiting, left)
    raise _not_json("an object" if kind == "unknown" else worded(kind))


def _not_json(what: str) -> ExpressionFailed:
    return ExpressionFailed("type_mismatch", f"the result holds {what}, which is no JSON value")


_MEASURES: dict[type, Callable[..., int]] = {
    type(None): _constant_bytes,
    bool: _constant_bytes,
    int: _int_bytes,
    float: _double_bytes,
    str: _text_bytes,
    list: _list_bytes,
    tuple: _list_bytes,
    dict: _map_bytes,
    Handle: _reference_bytes,
}
