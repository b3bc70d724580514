"""Which parts of a scope are declared double, as JSON and back: all of its types that running depends on.

`true` stands for a double, a list of one for a list, a map for a map; what has no double in it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from engine.domain.deferred import Named
from engine.language.expressions.types import DOUBLE, DYN, ListType, MapType, StepsType, Type


def doubles_in(fields: Mapping[str, Type], named: Named | None) -> JsonValue:
    """The double parts of what is known by name and `named`; None when there are none."""
    found = {
        name: _doubles_of(declared, None if named is None else named[name])
        for name, declared in fields.items()
        if named is None or name in named
    }
    return {name: inner for name, inner in found.items() if inner is not None} or None


def _doubles_of(declared: Type, named: Named | None) -> JsonValue:
    match declared:
        case ListType():
            inner = _doubles_of(declared.element, None)
            return None if inner is None else [inner]
        case MapType():
            return doubles_in(declared.fields, named)
        case StepsType():
            steps = {name: MapType({"output": found}) for name, found in declared.outputs.items()}
            return doubles_in(steps, named)
        case _:
            return True if declared == DOUBLE else None


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
