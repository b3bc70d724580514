"""Which parts of a scope are declared double, as JSON and back: all of its types that running depends on.

`true` stands for a double, a list of one for a list, a map for a map; what has no double in it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from engine.language.expressions.types import DOUBLE, DYN, ListType, MapType, StepsType, Type


def doubles_of(declared: Type) -> JsonValue:
    """The double parts of a type; None when there are none."""
    match declared:
        case ListType():
            inner = doubles_of(declared.element)
            return None if inner is None else [inner]
        case MapType():
            return doubles_in(declared.fields)
        case StepsType():
            return doubles_in({name: MapType({"output": found}) for name, found in declared.outputs.items()})
        case _:
            return True if declared == DOUBLE else None


def doubles_in(fields: Mapping[str, Type]) -> JsonValue:
    """The double parts of what is known by name; None when there are none."""
    found = {name: doubles_of(declared) for name, declared in fields.items()}
    return {name: inner for name, inner in found.items() if inner is not None} or None


def type_with(doubles: JsonValue) -> Type:
    """A type that is double at the same parts and anything elsewhere."""
    match doubles:
        case True:
            return DOUBLE
        case [inner]:
            return ListType(type_with(inner))
        case dict():
            return MapType({name: type_with(inner) for name, inner in doubles.items()}, others=DYN)
        case _:
            return DYN
