"""What an expression gives: a JSON value of at most about 256 KiB, timestamps and durations as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import TypeAlias

from engine.domain.expression import ExpressionFailed
from engine.domain.handles import Handle
from engine.language.expressions.frame import Frame
from engine.language.expressions.times import Duration, Timestamp
from engine.language.expressions.types import worded
from engine.language.expressions.values import kind_of

MAX_RESULT = 256 * 1024
_BYTES_OF_CONSTANT = 5
_BYTES_OF_REFERENCE = 256
_COST_OF_TEXT = 12
_PLAIN = frozenset({type(None), bool, int})
_MAY_HOLD_TIMES = frozenset({list, dict, Timestamp, Duration})

_Holder: TypeAlias = list[object] | dict[object, object]


class _HoldsTimes(Exception):  # noqa: N818  # a finding on the way, not an error
    """A timestamp or a duration was met, which is no JSON value yet."""


def json_result(frame: Frame, value: object) -> object:
    """The value as JSON, sharing what needs no change; raises `ExpressionFailed`; never recursive."""
    if type(value) in _PLAIN or (type(value) is str and len(value) <= MAX_RESULT >> 2):
        return value
    try:
        _check(value)
    except _HoldsTimes:
        value = _Texts(frame).of(value)
        _check(value)
    return value


def _check(value: object) -> None:
    left = MAX_RESULT
    waiting = [value]
    while waiting:
        item = waiting.pop()
        left -= _MEASURES.get(type(item), _foreign_bytes)(item, waiting, left)
        if left < 0:
            raise _too_large()


class _Texts:
    """Replaces the times in a value by their text, in copies of what holds them."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._left = MAX_RESULT
        self._waiting: list[_Holder] = []

    def of(self, value: object) -> object:
        """The value without times."""
        whole = self._written(value)
        while self._waiting:
            holder = self._waiting.pop()
            if isinstance(holder, dict):
                for key, part in holder.items():
                    holder[key] = self._written(part)
            else:
                holder[:] = [
                    self._written(part) if type(part) in _MAY_HOLD_TIMES else part for part in holder
                ]
        return whole

    def _written(self, part: object) -> object:
        if isinstance(part, Timestamp | Duration):
            self._frame.spend(_COST_OF_TEXT)
            return part.text()
        if not isinstance(part, list | dict):
            return part
        self._left -= 2 * len(part) + 2
        if self._left < 0:
            raise _too_large()
        copy = part.copy()
        self._waiting.append(copy)
        return copy


def _too_large() -> ExpressionFailed:
    return ExpressionFailed("value_too_large", f"the result is larger than {MAX_RESULT} bytes")


def _times(_: object, __: list[object], ___: int) -> int:
    raise _HoldsTimes


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
    Timestamp: _times,
    Duration: _times,
}
