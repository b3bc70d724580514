"""The types an expression is checked with, and the scope that declares the names it may use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

_ARTICLES = {"int": "an int", "optional": "an optional", "dyn": "a value", "null": "null"}


@dataclass(frozen=True, slots=True)
class SimpleType:
    """A type without parts."""

    kind: str


NULL = SimpleType("null")
BOOL = SimpleType("bool")
INT = SimpleType("int")
DOUBLE = SimpleType("double")
STRING = SimpleType("string")
TIMESTAMP = SimpleType("timestamp")
DURATION = SimpleType("duration")
TYPE = SimpleType("type")
DYN = SimpleType("dyn")


@dataclass(frozen=True, slots=True)
class ListType:
    """A list whose elements have one type, or `DYN`."""

    element: Type = DYN
    kind = "list"


@dataclass(frozen=True, slots=True)
class MapType:
    """A map: the keys known by name, and the type of every other value; `others` None = there are none."""

    fields: Mapping[str, Type] = field(default_factory=dict)
    others: Type | None = None
    key: Type = STRING
    kind = "map"


ANY_MAP = MapType(others=DYN)


@dataclass(frozen=True, slots=True)
class OptionalType:
    """A value that may be absent, as `.?`, `[?]` and `optional.of` give it."""

    element: Type = DYN
    kind = "optional"


@dataclass(frozen=True, slots=True)
class StepsType:
    """The steps of a playbook by name; `outputs` tells what is known of their outputs."""

    names: tuple[str, ...]
    outputs: Mapping[str, Type] = field(default_factory=dict)
    kind = "steps"


@dataclass(frozen=True, slots=True)
class StepType:
    """One step: no value by itself, only its parts are."""

    name: str
    output: Type = DYN
    kind = "step"

    def fields(self) -> dict[str, Type]:
        """The parts of a step and their types."""
        return {"output": self.output, "status": STRING, "error": DYN, "errors": DYN}


Type: TypeAlias = SimpleType | ListType | MapType | OptionalType | StepsType | StepType


@dataclass(frozen=True, slots=True)
class FunctionType:
    """A function of the host: called as `name(...)`, found at run time as a callable in the scope.

    With `named` its only argument is a string written out, that this matches wholly.
    """

    parameters: tuple[Type, ...]
    result: Type = DYN
    named: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names an expression may use, with their types, and the host's functions.

    `elsewhere` are functions of the host that are known, but not here: why, and what to do about it.
    """

    names: Mapping[str, Type] = field(default_factory=dict)
    functions: Mapping[str, FunctionType] = field(default_factory=dict)
    elsewhere: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def worded(kind: str) -> str:
    """A kind with its article, as messages name it: `an int`, `a string`."""
    return _ARTICLES.get(kind, f"a {kind}")


def joined(one: Type, other: Type) -> Type:
    """The type of a value that is of one type or the other."""
    return one if one == other else DYN


def is_value(type_: Type) -> bool:
    """Whether a thing of this type can be handed on; `steps` and one step are only ways to their parts."""
    if isinstance(type_, OptionalType):
        return is_value(type_.element)
    return not isinstance(type_, StepsType | StepType)
