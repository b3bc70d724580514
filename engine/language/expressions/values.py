"""The values of the language, mostly plain Python objects: their kinds, and when two are equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from engine.domain.handles import Handle
from engine.language.expressions.frame import Frame, mismatch
from engine.language.expressions.times import Duration, Timestamp

NUMBERS = frozenset({"int", "double"})
_COST_OF_PAIR = 5


@dataclass(frozen=True, slots=True)
class Maybe:
    """An optional: a value that is there, or `NOTHING`."""

    value: object
    present: bool = True


NOTHING = Maybe(None, present=False)


@dataclass(frozen=True, slots=True, eq=False)
class TypeName:
    """What `type()` gives: the kind of a value, to be compared with the name of a type; one object a type."""

    kind: str


TYPE_NAMES: Mapping[str, TypeName] = {
    **{name: TypeName(name) for name in ("bool", "double", "int", "list", "map", "string", "type")},
    "null_type": TypeName("null"),
    "optional_type": TypeName("optional"),
    "google.protobuf.Timestamp": TypeName("timestamp"),
    "google.protobuf.Duration": TypeName("duration"),
}
_TYPES = {named.kind: named for named in TYPE_NAMES.values()}

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
    Timestamp: "timestamp",
    Duration: "duration",
    TypeName: "type",
}
_SCALARS = frozenset({type(None), bool, int, float, str, Timestamp, Duration, TypeName})


def kind_of(value: object) -> str:
    """The kind of a value; `unknown` for an object that is no value of the language.

    A handle has none: raises `value_too_large`, so that nothing ever works on one by mistake.
    """
    return _KINDS.get(type(value)) or _foreign_kind(value)


def type_of(value: object) -> TypeName:
    """The type of a value; raises `type_mismatch` for an object that is no value of the language."""
    found = _TYPES.get(kind_of(value))
    if found is None:
        raise mismatch("type() is given an object, which is no value")
    return found


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
            frame.spend(len(left) >> 6)
        return left == right
    return _deeply_equal(frame, left, right)


def _deeply_equal(frame: Frame, left: object, right: object) -> bool:
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        frame.spend(_COST_OF_PAIR)
        kind, other_kind = kind_of(one), kind_of(other)
        if kind == other_kind:
            compare = _COMPARISONS.get(kind)
            if not (one == other if compare is None else compare(frame, one, other, pairs)):
                return False
        elif not (kind in NUMBERS and other_kind in NUMBERS and one == other):
            return False
    return True


Pairs: TypeAlias = list[tuple[object, object]]


def _same_text(frame: Frame, one: str, other: str, _: Pairs) -> bool:
    frame.spend(len(one) >> 6)
    return one == other


def _same_optional(_: Frame, one: Maybe, other: Maybe, pairs: Pairs) -> bool:
    pairs.append((one.value, other.value))
    return one.present is other.present


def _same_elements(frame: Frame, one: Sequence[object], other: Sequence[object], pairs: Pairs) -> bool:
    if len(one) != len(other):
        return False
    frame.spend(len(one))
    pairs.extend(zip(one, other, strict=True))
    return True


def _same_keys(
    frame: Frame, one: Mapping[object, object], other: Mapping[object, object], pairs: Pairs
) -> bool:
    if len(one) != len(other):
        return False
    frame.spend(2 * len(one))
    for key, value in one.items():
        if key not in other:
            return False
        pairs.append((value, other[key]))
    return True


_COMPARISONS: Mapping[str, Callable[..., bool]] = {
    "string": _same_text,
    "optional": _same_optional,
    "list": _same_elements,
    "map": _same_keys,
}
