"""The type checker: one pass over a tree, collecting its faults and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from engine.language.expressions.calls import call_type
from engine.language.expressions.faults import ExpressionFault, Fault, Wrong, fault_at, listed, near_miss
from engine.language.expressions.members import index_type, member_type
from engine.language.expressions.operators import SIGNATURES
from engine.language.expressions.syntax import (
    Binary,
    Call,
    Conditional,
    Has,
    Index,
    ListLiteral,
    Literal,
    Logic,
    Macro,
    MapLiteral,
    Name,
    Node,
    Select,
    Unary,
    path,
    start,
)
from engine.language.expressions.types import (
    BOOL,
    DOUBLE,
    DYN,
    STRING,
    TYPE,
    ListType,
    MapType,
    OptionalType,
    Scope,
    SimpleType,
    StepsType,
    StepType,
    Type,
    is_value,
    joined,
    worded,
)
from engine.language.expressions.values import TYPE_NAMES, kind_of

MAX_FAULTS = 20
_OF_OPTIONAL = {"optMap", "optFlatMap"}
_KEYS = {"string", "int", "double", "bool", "dyn"}


class Checker:
    """One pass over a tree, collecting faults, reads and the nodes to widen."""

    def __init__(self, source: str, scope: Scope) -> None:
        self.scope = scope
        self.names: set[str] = set()
        self.reads: set[str] = set()
        self.calls: set[str] = set()
        self.widened: set[int] = set()
        self._source = source
        self._variables: list[tuple[str, Type]] = []
        self._faults: list[Fault] = []

    def fault(self, at: int, message: str, hint: str | None = None) -> Type:
        """Note a fault and go on with a type that anything may be done with."""
        fault = fault_at(self._source, at, message, hint)
        if fault not in self._faults:
            self._faults.append(fault)
        if len(self._faults) >= MAX_FAULTS:
            self.finish()
        return DYN

    def finish(self) -> None:
        """Raise what was found, in the order of the source."""
        if self._faults:
            raise ExpressionFault(*sorted(self._faults, key=lambda fault: (fault.line, fault.column)))

    def type_of(self, node: Node) -> Type:
        """The type of a node, which may be `steps` or one step."""
        found: Type = self._RULES[type(node)](self, node)
        if found == DOUBLE and isinstance(node, Name | Select | Index | Call):
            self.widened.add(id(node))
        return found

    def value(self, node: Node) -> Type:
        """The type of a node whose value is used."""
        found = self.type_of(node)
        if is_value(found):
            return found
        if isinstance(found, StepsType):
            return self.fault(node.at, f"'{path(node)}' is no value", "select a step: steps.name.output")
        return self.fault(node.at, f"'{path(node)}' is no value", "select .output, .status or .error of it")

    def bool_of(self, node: Node, where: str) -> None:
        """Check that a node gives a bool."""
        found = self.value(node)
        if found.kind not in {"bool", "dyn"}:
            self.fault(start(node), f"{where} needs a bool, not {worded(found.kind)}")

    def _literal(self, node: Literal) -> Type:
        return SimpleType(kind_of(node.value))

    def _name(self, node: Name) -> Type:
        for variable, found in reversed(self._variables):
            if variable == node.name:
                return found
        if node.name in self.scope.names:
            self.names.add(node.name)
            return self.scope.names[node.name]
        if node.name in TYPE_NAMES:
            return TYPE
        known = [*self.scope.names, *(variable for variable, _ in self._variables)]
        hint = near_miss(node.name, known) or listed(known)
        return self.fault(node.at, f"there is no name '{node.name[:40]}' here", hint)

    def _select(self, node: Select) -> Type:
        owner = self.type_of(node.operand)
        self._read(owner, node.field)
        found = self._noted(lambda: member_type(owner, node, node.field))
        return _optional(found) if node.optional else found

    def _index(self, node: Index) -> Type:
        owner, key = self.type_of(node.operand), self.value(node.key)
        if isinstance(node.key, Literal):
            self._read(owner, node.key.value)
        found = self._noted(lambda: index_type(owner, node, key))
        return _optional(found) if node.optional else found

    def _read(self, owner: Type, key: object) -> None:
        if isinstance(owner, OptionalType):
            self._read(owner.element, key)
        elif isinstance(owner, StepType) and key == "output":
            self.reads.add(owner.name)

    def _noted(self, find: Callable[[], Type]) -> Type:
        try:
            return find()
        except Wrong as wrong:
            return self.fault(wrong.at, wrong.message, wrong.hint)

    def _has(self, node: Has) -> Type:
        self.type_of(node.select)
        return BOOL

    def _unary(self, node: Unary) -> Type:
        if node.operator == "!":
            self.bool_of(node.operand, "'!'")
            return BOOL
        found = self.value(node.operand)
        if found.kind not in {"int", "double", "dyn"}:
            return self.fault(node.at, f"'-' has no meaning for {worded(found.kind)}")
        return found

    def _logic(self, node: Logic) -> Type:
        for operand in node.operands:
            self.bool_of(operand, f"'{node.operator}'")
        return BOOL

    def _conditional(self, node: Conditional) -> Type:
        self.bool_of(node.condition, "the condition of '?:'")
        return joined(self.value(node.then), self.value(node.otherwise))

    def _binary(self, node: Binary) -> Type:
        left, right = self.value(node.left), self.value(node.right)
        if node.operator in {"==", "!="}:
            return BOOL
        if node.operator == "in":
            return self._membership(node, left, right)
        if node.operator == "+" and isinstance(left, ListType) and isinstance(right, ListType):
            return ListType(joined(left.element, right.element))
        results = [
            result
            for (one, other), result in SIGNATURES[node.operator].items()
            if left.kind in {one, "dyn"} and right.kind in {other, "dyn"}
        ]
        if not results:
            kinds = f"{worded(left.kind)} and {worded(right.kind)}"
            return self.fault(
                node.at, f"'{node.operator}' has no meaning for {kinds}", _converted(node, left, right)
            )
        return results[0] if all(result == results[0] for result in results) else DYN

    def _membership(self, node: Binary, left: Type, right: Type) -> Type:
        if right.kind not in {"list", "map", "dyn"}:
            hint = "use .contains(...)" if right == STRING else None
            self.fault(node.at, f"'in' needs a list or a map on its right, not {worded(right.kind)}", hint)
        elif right.kind == "map" and left.kind not in _KEYS:
            self.fault(node.at, f"{worded(left.kind)} is never a key of a map")
        return BOOL

    def _list(self, node: ListLiteral) -> Type:
        found = [
            self._entry(element, optional=place in node.optional)
            for place, element in enumerate(node.elements)
        ]
        return ListType(found[0] if found and all(one == found[0] for one in found) else DYN)

    def _map(self, node: MapLiteral) -> Type:
        fields: dict[str, Type] = {}
        keys: set[object] = set()
        for place, (key, part) in enumerate(node.entries):
            kind, value = self.value(key).kind, self._entry(part, optional=place in node.optional)
            if kind not in {"string", "int", "dyn"}:
                self.fault(start(key), f"the key of a map is a string or an int, not {worded(kind)}")
            elif isinstance(key, Literal):
                if key.value in keys:
                    self.fault(key.at, "this key is there twice")
                keys.add(key.value)
                fields[str(key.value)] = value
        named = all(isinstance(key, Literal) and isinstance(key.value, str) for key, _ in node.entries)
        return MapType(fields) if named and not node.optional else MapType(others=DYN, key=DYN)

    def _entry(self, node: Node, *, optional: bool) -> Type:
        found = self.value(node)
        if not optional or found == DYN:
            return found
        if isinstance(found, OptionalType):
            return found.element
        return self.fault(
            start(node), f"'?' takes an optional here, not {worded(found.kind)}", "leave it out"
        )

    def _call(self, node: Call) -> Type:
        if node.target is None and node.function in self.scope.functions:
            self.calls.add(node.function)
        parts = node.arguments if node.target is None else (node.target, *node.arguments)
        types = [self.value(part) for part in parts]
        return self._noted(lambda: call_type(node, types, self.scope))

    def _macro(self, node: Macro) -> Type:
        target = self.value(node.target)
        of_optional = node.macro in _OF_OPTIONAL
        element = _held(target) if of_optional else _elements(target)
        if element is None:
            wanted = "an optional" if of_optional else "a list or a map"
            element = self.fault(node.at, f"{node.macro}() needs {wanted}, not {worded(target.kind)}")
        self._variables.append((node.variable, element))
        if node.where is not None:
            self.bool_of(node.where, "the condition of map()")
        result = self._made(node, element)
        self._variables.pop()
        return result

    def _made(self, node: Macro, element: Type) -> Type:
        if node.macro in {"map", "optMap"}:
            made = self.value(node.body)
            return ListType(made) if node.macro == "map" else OptionalType(made)
        if node.macro == "optFlatMap":
            return self._optional_of(node.body)
        self.bool_of(node.body, f"the condition of {node.macro}()")
        return ListType(element) if node.macro == "filter" else BOOL

    def _optional_of(self, node: Node) -> Type:
        found = self.value(node)
        if isinstance(found, OptionalType):
            return found
        if found == DYN:
            return OptionalType()
        message = f"the body of optFlatMap() is an optional, not {worded(found.kind)}"
        return self.fault(start(node), message, "use optMap(...)")

    _RULES: ClassVar[Mapping[type, Callable[..., Type]]] = {
        Literal: _literal,
        Name: _name,
        Select: _select,
        Index: _index,
        Has: _has,
        Unary: _unary,
        Logic: _logic,
        Conditional: _conditional,
        Binary: _binary,
        ListLiteral: _list,
        MapLiteral: _map,
        Call: _call,
        Macro: _macro,
    }


def _held(target: Type) -> Type | None:
    if isinstance(target, OptionalType):
        return target.element
    return DYN if target == DYN else None


def _elements(target: Type) -> Type | None:
    match target:
        case ListType():
            return target.element
        case MapType():
            return target.key
        case _:
            return DYN if target == DYN else None


def _optional(found: Type) -> Type:
    return found if isinstance(found, OptionalType) else OptionalType(found)


def _converted(node: Binary, left: Type, right: Type) -> str | None:
    kinds = {left.kind, right.kind}
    if node.operator == "+" and "string" in kinds and kinds & {"int", "double", "bool"}:
        return "write string(...)"
    return "write double(...)" if kinds == {"int", "double"} else None
