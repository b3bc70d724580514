"""The functions and methods by name, and the ones refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sized

from engine.language.expressions.conversions import CONVERSIONS
from engine.language.expressions.frame import Frame
from engine.language.expressions.optionals import OPTIONAL_FUNCTIONS, OPTIONAL_METHODS
from engine.language.expressions.overloads import Overload
from engine.language.expressions.strings import STRING_METHODS
from engine.language.expressions.time_functions import PARTS
from engine.language.expressions.types import INT


def _size(_: Frame, value: Sized) -> int:
    return len(value)


_SIZES = tuple(Overload((kind,), INT, _size) for kind in ("string", "list", "map"))

FUNCTIONS: Mapping[str, tuple[Overload, ...]] = {"size": _SIZES, **CONVERSIONS, **OPTIONAL_FUNCTIONS}
METHODS: Mapping[str, tuple[Overload, ...]] = {
    "size": _SIZES,
    **STRING_METHODS,
    **PARTS,
    **OPTIONAL_METHODS,
}
LAZY_METHODS = frozenset({"or", "orValue"})

REFUSED: Mapping[str, str] = {
    "matches": "there are no regular expressions in this language, write contains(), split() or indexOf()",
    "now": "there is no clock in this language: an expression gives the same value whenever it runs",
    "uint": "there are no unsigned ints in this language",
    "bytes": "there are no bytes in this language",
}
