"""The names each kind of expression may use, with what is known of their types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from engine.domain.attempts import CHILD_TOOL
from engine.language.expressions import Scope
from engine.language.expressions.types import (
    ANY_MAP,
    BOOL,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    ListType,
    MapType,
    StepsType,
    Type,
)
from engine.language.model import Input, Playbook, Step
from engine.language.secrets import OF_A_CHILD, OUTSIDE_WITH, SECRET, SECRET_TYPE
from engine.language.tools import Tool

_EXECUTION = MapType({"id": STRING, "started_at": STRING})
_ERROR = MapType(
    {
        "code": STRING,
        "message": STRING,
        "status": DYN,
        "attempt": INT,
        "details": DYN,
        "item": DYN,
        "cause": DYN,
    }
)
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
    RETRY = "bool over error, of an attempt"
    FAILURE = "bool over error"
    UNTIL = "bool over output"
    KEY = "anything, of an item"
    QUEUED = "text, an int or a bool, of a round"
    INPUT = "anything, of an attempt"
    CHILD_INPUT = "anything, of an attempt, recorded"
    OUTPUT = "anything"
    ITEMS = "list"

    @property
    def expected(self) -> Type:
        """The type that an expression here must have."""
        return _EXPECTED.get(self, DYN)


_EXPECTED: Mapping[Place, Type] = {
    Place.GUARD: BOOL,
    Place.RETRY: BOOL,
    Place.FAILURE: BOOL,
    Place.UNTIL: BOOL,
    Place.MOMENT: STRING,
    Place.ITEMS: ListType(),
}
_OF_ATTEMPTS = frozenset({Place.INPUT, Place.CHILD_INPUT, Place.RETRY})
_OF_ITEMS = frozenset({*_OF_ATTEMPTS, Place.KEY, Place.QUEUED})
_OF_ROUNDS = frozenset({*_OF_ATTEMPTS, Place.UNTIL, Place.QUEUED})
_OF_ERRORS = frozenset({Place.RETRY, Place.FAILURE})
RESERVED_NAMES = frozenset(
    {"inputs", "steps", "execution", "attempt", "error", "output", "iteration", "item_index", SECRET}
)


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes of one playbook; `outputs` tells what one attempt of a step gives, where that is known."""

    common: Mapping[str, Type]
    outputs: Mapping[str, Type] = field(default_factory=dict)

    def at(self, place: Place, step: Step | None = None, *, item: Type = DYN) -> Scope:
        """The scope of expressions at `place` of a step; `item` is the type of the items of its map."""
        names = dict(self.common)
        if place in _OF_ATTEMPTS:
            names["attempt"] = INT
        if place in _OF_ERRORS:
            names["error"] = _ERROR
        if step is not None and place is Place.UNTIL:
            names["output"] = self.outputs.get(step.name, DYN)
        if step is not None and step.map is not None and place in _OF_ITEMS:
            names |= {step.map.as_: item, "item_index": INT}
        if step is not None and step.repeat is not None and place in _OF_ROUNDS:
            names["iteration"] = INT
        if place is Place.INPUT:
            return Scope(names=names, functions={SECRET: SECRET_TYPE})
        why = OF_A_CHILD if place is Place.CHILD_INPUT else OUTSIDE_WITH
        return Scope(names=names, elsewhere={SECRET: why})


def input_place(tool: str | None) -> Place:
    """Where the expressions of a tool's `with` stand."""
    return Place.CHILD_INPUT if tool == CHILD_TOOL else Place.INPUT


def scopes_of(
    playbook: Playbook,
    steps: Iterable[str],
    *,
    inputs_known: bool = True,
    outputs: Mapping[str, Type] | None = None,
) -> Scopes:
    """Build the scopes for the named steps; without `inputs_known` any input may be read."""
    inputs = MapType({name: _input_type(spec) for name, spec in (playbook.inputs or {}).items()})
    names: dict[str, Type] = {"inputs": inputs if inputs_known else DYN, "execution": _EXECUTION}
    known = outputs or {}
    wholly = {step.name: _gathered(step, known[step.name]) for step in playbook.steps if step.name in known}
    return Scopes({**names, "steps": StepsType(tuple(sorted(steps)), wholly)}, known)


def output_of(step: Step, tools: Mapping[str, Tool]) -> Type:
    """What is known of the output of one attempt of a step."""
    if step.wait is not None:
        return DYN if step.wait.event is not None else NULL
    tool = tools.get(step.tool or "")
    return DYN if tool is None else tool.gives


def _gathered(step: Step, output: Type) -> Type:
    """The output of a step as others see it: that of a map is the list of all."""
    if step.map is None:
        return output
    return ListType(output if step.map.on_item_error == "fail" else DYN)


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
