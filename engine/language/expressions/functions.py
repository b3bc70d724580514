"""The functions and methods: their overloads by kind, and what each does, paying for what it touches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Final

from engine.domain.expression import ExpressionFailed
from engine.language.expressions.frame import Frame, mismatch
from engine.language.expressions.operators import MAX_INT, MIN_INT
from engine.language.expressions.types import BOOL, DOUBLE, DYN, INT, STRING, ListType, OptionalType, Type
from engine.language.expressions.values import NOTHING, Maybe

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER: Final = 400
_TRUTHS = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "0"), False),
}
# Unicode's White_Space, which is what CEL trims; str.strip() also takes the separators \x1c to \x1f.
_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


@dataclass(frozen=True, slots=True)
class Overload:
    """One meaning of a function: the kinds it takes (a method's target first) and what it gives."""

    kinds: tuple[str, ...]
    result: Type
    run: Callable[..., object]


def _size(_: Frame, value: Sized) -> int:
    return len(value)


def _searched(frame: Frame, text: str, part: str) -> None:
    # The search is linear for long needles and quadratic in the worst case for short ones.
    frame.spend((len(text) >> 4) + (len(text) * min(len(part), 128) >> 10))


def _contains(frame: Frame, text: str, part: str) -> bool:
    _searched(frame, text, part)
    return part in text


def _starts_with(frame: Frame, text: str, part: str) -> bool:
    frame.spend(len(part) >> 4)
    return text.startswith(part)


def _ends_with(frame: Frame, text: str, part: str) -> bool:
    frame.spend(len(part) >> 4)
    return text.endswith(part)


def _lower(frame: Frame, text: str) -> str:
    frame.spend(len(text) >> 4)
    return text.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


def _upper(frame: Frame, text: str) -> str:
    frame.spend(len(text) >> 4)
    return text.encode(errors="surrogatepass").upper().decode(errors="surrogatepass")


def _trim(frame: Frame, text: str) -> str:
    frame.spend(len(text) >> 4)
    return text.strip(_BLANKS)


def _split(frame: Frame, text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    _searched(frame, text, separator)
    pieces = text.count(separator) + 1 if separator else len(text)
    pieces = pieces if limit < 0 else min(pieces, limit)
    frame.spend(pieces)
    if separator:
        return text.split(separator, pieces - 1)
    return [*text[: pieces - 1], text[pieces - 1 :]] if text else [""]


def _join(frame: Frame, parts: Sequence[object], separator: str = "") -> str:
    frame.spend(len(parts))
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) != len(parts):
        raise mismatch("join() takes a list of strings, and an element is none")
    frame.spend((sum(map(len, texts)) + len(separator) * len(texts)) >> 4)
    return separator.join(texts)


def _replace(frame: Frame, text: str, old: str, new: str, limit: int = -1) -> str:
    _searched(frame, text, old)
    count = text.count(old)
    count = count if limit < 0 else min(count, limit)
    frame.spend(count + ((len(text) + count * len(new)) >> 4))
    return text.replace(old, new, count)


def _substring(frame: Frame, text: str, first: int, end: int | None = None) -> str:
    last = len(text) if end is None else end
    if not 0 <= first <= last <= len(text):
        raise ExpressionFailed("missing_key", "substring() is asked for a range outside of the string")
    frame.spend((last - first) >> 4)
    return text[first:last]


def _index_of(frame: Frame, text: str, part: str, first: int = 0) -> int:
    if not 0 <= first <= len(text):
        raise ExpressionFailed("missing_key", "indexOf() is asked for an index outside of the string")
    _searched(frame, text, part)
    return text.find(part, first)


def _same(_: Frame, value: object) -> object:
    return value


def _string_of_int(_: Frame, value: int) -> str:
    return str(value) if MIN_INT <= value <= MAX_INT else _not_int("string")


def _not_int(function: str) -> str:
    raise ExpressionFailed("overflow", f"{function}() is given a number outside of the range of a 64-bit int")


def _string_of_bool(_: Frame, value: object) -> str:
    return "true" if value else "false"


def _string_of_double(_: Frame, value: float) -> str:
    return repr(value).removesuffix(".0")


def _int_of_double(_: Frame, value: float) -> int:
    if not MIN_INT < value < MAX_INT:
        raise ExpressionFailed("overflow", "int() is given a double outside of the range of a 64-bit int")
    return int(value)


def _int_of_string(_: Frame, text: str) -> int:
    if len(text) > _LONGEST_NUMBER or not _WHOLE.fullmatch(text):
        raise mismatch("int() is given a string that is no whole number")
    value = int(text)
    if not MIN_INT <= value <= MAX_INT:
        raise ExpressionFailed("overflow", "int() is given a number outside of the range of a 64-bit int")
    return value


def _double_of_int(_: Frame, value: int) -> float:
    return float(value if MIN_INT <= value <= MAX_INT else _not_int("double"))


def _double_of_string(_: Frame, text: str) -> float:
    if len(text) > _LONGEST_NUMBER or not _DECIMAL.fullmatch(text):
        raise mismatch("double() is given a string that is no number")
    return float(text)


def _bool_of_string(_: Frame, text: str) -> bool:
    if text not in _TRUTHS:
        raise mismatch("bool() is given a string that is neither 'true' nor 'false'")
    return _TRUTHS[text]


def _some(_: Frame, value: object) -> Maybe:
    return Maybe(value)


def _nothing(_: Frame) -> Maybe:
    return NOTHING


def _has_value(_: Frame, optional: Maybe) -> bool:
    return optional.present


def _value(_: Frame, optional: Maybe) -> object:
    if not optional.present:
        raise ExpressionFailed("missing_key", "value() of an optional without a value")
    return optional.value


_SIZES = tuple(Overload((kind,), INT, _size) for kind in ("string", "list", "map"))
_TEXTS = ListType(STRING)

FUNCTIONS: Mapping[str, tuple[Overload, ...]] = {
    "size": _SIZES,
    "string": (
        Overload(("string",), STRING, _same),
        Overload(("int",), STRING, _string_of_int),
        Overload(("double",), STRING, _string_of_double),
        Overload(("bool",), STRING, _string_of_bool),
    ),
    "int": (
        Overload(("int",), INT, _same),
        Overload(("double",), INT, _int_of_double),
        Overload(("string",), INT, _int_of_string),
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
    "dyn": (Overload(("dyn",), DYN, _same),),
    "optional.of": (Overload(("dyn",), OptionalType(), _some),),
    "optional.none": (Overload((), OptionalType(), _nothing),),
}

METHODS: Mapping[str, tuple[Overload, ...]] = {
    "size": _SIZES,
    "contains": (Overload(("string", "string"), BOOL, _contains),),
    "startsWith": (Overload(("string", "string"), BOOL, _starts_with),),
    "endsWith": (Overload(("string", "string"), BOOL, _ends_with),),
    "lowerAscii": (Overload(("string",), STRING, _lower),),
    "upperAscii": (Overload(("string",), STRING, _upper),),
    "trim": (Overload(("string",), STRING, _trim),),
    "split": (
        Overload(("string", "string"), _TEXTS, _split),
        Overload(("string", "string", "int"), _TEXTS, _split),
    ),
    "join": (Overload(("list",), STRING, _join), Overload(("list", "string"), STRING, _join)),
    "replace": (
        Overload(("string", "string", "string"), STRING, _replace),
        Overload(("string", "string", "string", "int"), STRING, _replace),
    ),
    "substring": (
        Overload(("string", "int"), STRING, _substring),
        Overload(("string", "int", "int"), STRING, _substring),
    ),
    "indexOf": (
        Overload(("string", "string"), INT, _index_of),
        Overload(("string", "string", "int"), INT, _index_of),
    ),
    "hasValue": (Overload(("optional",), BOOL, _has_value),),
    "value": (Overload(("optional",), DYN, _value),),
}

REFUSED: Mapping[str, str] = {
    "matches": "regular expressions are not part of this language: their cost has no bound",
    "timestamp": "there is no time in this language: an expression gives the same value whenever it runs",
    "duration": "there is no time in this language: an expression gives the same value whenever it runs",
    "now": "there is no clock in this language: an expression gives the same value whenever it runs",
    "uint": "there are no unsigned ints in this language",
    "bytes": "there are no bytes in this language",
    "type": "there are no values of types in this language",
}
