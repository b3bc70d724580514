"""Lists and maps as they are written, with entries that are left out when an optional is absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.language.expressions.frame import Closure, Frame, mismatch
from engine.language.expressions.types import worded
from engine.language.expressions.values import Maybe, kind_of

COST_OF_CONTAINER: Final = 3
"""What making one costs beside its entries."""


def list_with_optionals(elements: Sequence[tuple[Closure, bool]]) -> Closure:
    """A list of the elements, each with whether it is an optional that may be absent."""

    def build(frame: Frame) -> list[object]:
        built: list[object] = []
        for element, optional in elements:
            value = element(frame)
            if not optional:
                built.append(value)
            elif (held := _optional(value)).present:
                built.append(held.value)
        return built

    return build


def map_of_names(entries: Sequence[tuple[object, Closure]]) -> Closure:
    """A map of constant keys, which are known to differ, to values."""
    return lambda frame: {name: value(frame) for name, value in entries}


def map_of(entries: Sequence[tuple[Closure, Closure, bool]]) -> Closure:
    """A map of keys to values, each with whether the value is an optional that may be absent."""

    def build(frame: Frame) -> dict[object, object]:
        built: dict[object, object] = {}
        for key, value, optional in entries:
            name = key(frame)
            if type(name) is not str and type(name) is not int:
                raise mismatch(f"the key of a map is a string or an int, not {worded(kind_of(name))}")
            if name in built:
                raise mismatch("a map is given the same key twice")
            held = value(frame)
            if not optional:
                built[name] = held
            elif (maybe := _optional(held)).present:
                built[name] = maybe.value
        return built

    return build


def _optional(value: object) -> Maybe:
    if isinstance(value, Maybe):
        return value
    raise mismatch(f"'?' takes an optional, not {worded(kind_of(value))}")
