"""`in`: membership in lists and among the keys of maps, with a set for lists of constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.language.expressions.frame import Closure, Frame
from engine.language.expressions.operators import NO_OVERLOAD
from engine.language.expressions.values import equal, kind_of

_GROUPS = {"int": "number", "double": "number"}


def membership(frame: Frame, value: object, among: object) -> object:
    """Whether a list holds a value or a map a key."""
    if isinstance(among, Mapping):
        if not isinstance(value, str | int | float):
            return NO_OVERLOAD
        return not isinstance(value, bool) and value in among
    if kind_of(among) != "list":
        return NO_OVERLOAD
    assert isinstance(among, Sequence)  # noqa: S101  # by its kind
    for one in among:
        frame.spend(2)
        if equal(frame, one, value):
            return True
    return False


def constant_membership(value: Closure, constants: Sequence[object]) -> Closure:
    """Whether a value is among constants, without walking over them."""
    groups: dict[str, set[object]] = {}
    for constant in constants:
        groups.setdefault(_group(constant), set()).add(constant)

    def among(frame: Frame) -> bool:
        found = value(frame)
        group = groups.get(_group(found))
        return group is not None and found in group

    return among


def _group(value: object) -> str:
    kind = kind_of(value)
    return _GROUPS.get(kind, kind)
