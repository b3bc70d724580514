"""The conversions between numbers, strings and bools, and the type of a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from engine.domain.expression import ExpressionFailed
from engine.language.expressions.frame import Frame, mismatch
from engine.language.expressions.operators import MAX_INT, MIN_INT
from engine.language.expressions.overloads import Overload
from engine.language.expressions.time_functions import CONVERSIONS as OF_TIME
from engine.language.expressions.types import BOOL, DOUBLE, DYN, INT, STRING, TYPE
from engine.language.expressions.values import TypeName, type_of

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER: Final = 400
_COST_OF_NUMBER = 6
_TRUTHS = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "0"), False),
}


def _same(_: Frame, value: object) -> object:
    return value


def _string_of_int(frame: Frame, value: int) -> str:
    frame.spend(_COST_OF_NUMBER)
    return str(value) if MIN_INT <= value <= MAX_INT else _not_int("string")


def _not_int(function: str) -> str:
    raise ExpressionFailed("overflow", f"{function}() is given a number outside of the range of a 64-bit int")


def _string_of_bool(_: Frame, value: object) -> str:
    return "true" if value else "false"


def _string_of_double(frame: Frame, value: float) -> str:
    frame.spend(_COST_OF_NUMBER)
    return repr(value).removesuffix(".0")


def _int_of_double(_: Frame, value: float) -> int:
    if not MIN_INT < value < MAX_INT:
        raise ExpressionFailed("overflow", "int() is given a double outside of the range of a 64-bit int")
    return int(value)


def _int_of_string(frame: Frame, text: str) -> int:
    frame.spend(_COST_OF_NUMBER + (min(len(text), _LONGEST_NUMBER) >> 3))
    if len(text) > _LONGEST_NUMBER or not _WHOLE.fullmatch(text):
        raise mismatch("int() is given a string that is no whole number")
    value = int(text)
    if not MIN_INT <= value <= MAX_INT:
        raise ExpressionFailed("overflow", "int() is given a number outside of the range of a 64-bit int")
    return value


def _double_of_int(_: Frame, value: int) -> float:
    return float(value if MIN_INT <= value <= MAX_INT else _not_int("double"))


def _double_of_string(frame: Frame, text: str) -> float:
    frame.spend(_COST_OF_NUMBER + (min(len(text), _LONGEST_NUMBER) >> 3))
    if len(text) > _LONGEST_NUMBER or not _DECIMAL.fullmatch(text):
        raise mismatch("double() is given a string that is no number")
    return float(text)


def _bool_of_string(_: Frame, text: str) -> bool:
    if text not in _TRUTHS:
        raise mismatch("bool() is given a string that is neither 'true' nor 'false'")
    return _TRUTHS[text]


def _type(_: Frame, value: object) -> TypeName:
    return type_of(value)


CONVERSIONS: Mapping[str, tuple[Overload, ...]] = {
    "string": (
        Overload(("string",), STRING, _same),
        Overload(("int",), STRING, _string_of_int),
        Overload(("double",), STRING, _string_of_double),
        Overload(("bool",), STRING, _string_of_bool),
        *OF_TIME["string"],
    ),
    "int": (
        Overload(("int",), INT, _same),
        Overload(("double",), INT, _int_of_double),
        Overload(("string",), INT, _int_of_string),
        *OF_TIME["int"],
    ),
    "double": (
        Overload(("double",), DOUBLE, _same),
        Overload(("int",), DOUBLE, _double_of_int),
        Overload(("string",), DOUBLE, _double_of_string),
    ),
    "bool": (
        Overload(("bool",), BOOL, _same),
        Overload(("string",), BOOL, _bool_of_string),
    ),
    "timestamp": OF_TIME["timestamp"],
    "duration": OF_TIME["duration"],
    "dyn": (Overload(("dyn",), DYN, _same),),
    "type": (Overload(("dyn",), TYPE, _type),),
}
