"""The names each kind of expression may use, with what is known of their types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from engine.language.expressions import Scope
from engine.language.expressions.types import (
    ANY_MAP,
    BOOL,
    DOUBLE,
    DYN,
    INT,
    STRING,
    ListType,
    MapType,
    StepsType,
    Type,
)
from engine.language.model import Input, Playbook

_EXECUTION = MapType({"id": STRING, "started_at": STRING})
_ERROR = MapType({"code": STRING, "message": STRING, "status": DYN, "attempt": INT, "details": DYN})
_PLAIN: Mapping[str, Type] = {
    "string": STRING,
    "integer": INT,
    "number": DOUBLE,
    "boolean": BOOL,
    "any": DYN,
}


class Place(Enum):
    """Where an expression stands; the value is the type it must give."""

    GUARD = "bool"
    MOMENT = "string"
    RETRY = "bool over error"
    INPUT = "anything, of an attempt"
    OUTPUT = "anything"

    @property
    def expected(self) -> Type:
        """The type that an expression here must have."""
        return {Place.GUARD: BOOL, Place.RETRY: BOOL, Place.MOMENT: STRING}.get(self, DYN)


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes of one playbook."""

    common: Mapping[str, Type]

    def at(self, place: Place) -> Scope:
        """The scope of expressions at `place`."""
        names = dict(self.common)
        if place in {Place.INPUT, Place.RETRY}:
            names["attempt"] = INT
        if place is Place.RETRY:
            names["error"] = _ERROR
        return Scope(names=names)


def scopes_of(playbook: Playbook, steps: Iterable[str], *, inputs_known: bool = True) -> Scopes:
    """Build the scopes for the named steps; without `inputs_known` any input may be read."""
    inputs = MapType({name: _input_type(spec) for name, spec in (playbook.inputs or {}).items()})
    names: dict[str, Type] = {"inputs": inputs if inputs_known else DYN, "execution": _EXECUTION}
    return Scopes({**names, "steps": StepsType(tuple(sorted(steps)))})


def _input_type(spec: Input) -> Type:
    if not spec.required and spec.default is None:
        return DYN
    if spec.type == "array":
        return ListType(_input_type(spec.items) if spec.items is not None else DYN)
    if spec.type == "object":
        if spec.properties is None:
            return ANY_MAP
        return MapType({name: _input_type(part) for name, part in spec.properties.items()})
    return _PLAIN[spec.type]
