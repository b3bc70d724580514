"""Optionals: values that may be absent, made by functions and asked by methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.domain.expression import ExpressionFailed
from engine.language.expressions.frame import Frame
from engine.language.expressions.overloads import Overload
from engine.language.expressions.times import Duration, Timestamp
from engine.language.expressions.types import BOOL, DYN, OptionalType
from engine.language.expressions.values import NOTHING, Maybe, kind_of

_ZEROS: Final = (Timestamp(0), Duration(0))


def _some(_: Frame, value: object) -> Maybe:
    return Maybe(value)


def _some_unless_zero(_: Frame, value: object) -> Maybe:
    kind_of(value)
    return Maybe(value) if value and value not in _ZEROS else NOTHING


def _nothing(_: Frame) -> Maybe:
    return NOTHING


def _has_value(_: Frame, optional: Maybe) -> bool:
    return optional.present


def _value(_: Frame, optional: Maybe) -> object:
    if not optional.present:
        raise ExpressionFailed("missing_key", "value() of an optional without a value")
    return optional.value


OPTIONAL_FUNCTIONS: Mapping[str, tuple[Overload, ...]] = {
    "optional.of": (Overload(("dyn",), OptionalType(), _some),),
    "optional.ofNonZeroValue": (Overload(("dyn",), OptionalType(), _some_unless_zero),),
    "optional.none": (Overload((), OptionalType(), _nothing),),
}
OPTIONAL_METHODS: Mapping[str, tuple[Overload, ...]] = {
    "hasValue": (Overload(("optional",), BOOL, _has_value),),
    "value": (Overload(("optional",), DYN, _value),),
}
