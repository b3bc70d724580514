"""The compiler: a checked tree to nested closures, each taking a frame and giving a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from engine.domain.handles import Handle
from engine.language.expressions.access import (
    constant_key,
    has_member,
    index_reader,
    member,
    name_reader,
    optional_member,
    path_reader,
    variable_reader,
)
from engine.language.expressions.analysis import Analysis
from engine.language.expressions.calling import host_call, or_else, overloaded, sized
from engine.language.expressions.containers import (
    COST_OF_CONTAINER,
    list_with_optionals,
    map_of,
    map_of_names,
)
from engine.language.expressions.frame import Closure
from engine.language.expressions.functions import FUNCTIONS, LAZY_METHODS, METHODS
from engine.language.expressions.macros import Loop, loop_closure
from engine.language.expressions.membership import constant_membership, membership
from engine.language.expressions.operating import (
    chosen,
    logic,
    operated,
    operated_alone,
    operated_with,
    widening,
)
from engine.language.expressions.operators import (
    ARITHMETIC,
    OPERATIONS,
    invert,
    negate,
)
from engine.language.expressions.passing import passed_on
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
)
from engine.language.expressions.values import TYPE_NAMES

_COST_OF_CALL = 4
_COST_OF_OPTIONAL = 2


def _as_it_is(handle: Handle) -> Handle:
    return handle


class Compiler:
    """Compiles one tree; `cost` is the fuel of its nodes, `slots` how many variables its macros need.

    `passed` are the nodes whose value becomes part of the result as it is.
    """

    def __init__(self, analysis: Analysis, passed: frozenset[int] = frozenset()) -> None:
        self.cost = 0
        self.slots = 0
        self._analysis = analysis
        self._variables: list[str] = []
        self._taken: dict[int, Callable[[Handle], object]] = dict.fromkeys(passed, Handle.passed)

    def compile(self, node: Node) -> Closure:
        """Compile a node with all below it."""
        self.cost += 1
        closure: Closure = self._EMITTERS[type(node)](self, node)
        return widening(closure) if id(node) in self._analysis.widened else closure

    def _literal(self, node: Literal) -> Closure:
        value = node.value
        return lambda _: value

    def _name(self, node: Name) -> Closure:
        slot = self._slot(node.name)
        if slot is not None:
            return lambda frame: frame.variables[slot]
        if node.name in self._analysis.names:
            return name_reader(node.name)
        named = TYPE_NAMES[node.name]
        return lambda _: named

    def _slot(self, name: str) -> int | None:
        known = [slot for slot, variable in enumerate(self._variables) if variable == name]
        return known[-1] if known else None

    def _select(self, node: Select) -> Closure:
        chain = self._chain(node)
        if chain is not None:
            return chain
        operand, key = self.compile(node.operand), node.field
        if node.optional:
            self.cost += _COST_OF_OPTIONAL
            return lambda frame: optional_member(operand(frame), key, node)
        return lambda frame: member(operand(frame), key, node)

    def _index(self, node: Index) -> Closure:
        chain = self._chain(node)
        if chain is not None:
            return chain
        operand, key = self._unopened(node.operand), self.compile(node.key)
        if node.optional:
            self.cost += _COST_OF_OPTIONAL
            return lambda frame: optional_member(operand(frame), key(frame), node)
        return index_reader(operand, key, node, self._taken.get(id(node), Handle.open))

    def _chain(self, node: Node) -> Closure | None:
        nodes: list[Node] = []
        keys: list[str] = []
        taken = self._taken.get(id(node), Handle.open)
        while isinstance(node, Select | Index):
            key = constant_key(node)
            if key is None:
                return None
            nodes.append(node)
            keys.append(key)
            node = node.operand
        if not isinstance(node, Name):
            return None
        self.cost += len(nodes)
        slot = self._slot(node.name)
        if slot is not None:
            return variable_reader(slot, nodes[::-1], keys[::-1])
        return path_reader(node.name, nodes[::-1], keys[::-1], taken)

    def _unopened(self, node: Node) -> Closure:
        """Compile a node whose value may be a handle: its length is known, its elements can be read alone."""
        self._taken |= dict.fromkeys(passed_on(node), _as_it_is)
        return self.compile(node)

    def _has(self, node: Has) -> Closure:
        select = node.select
        operand = self.compile(select.operand)
        return lambda frame: has_member(operand(frame), select.field, select)

    def _unary(self, node: Unary) -> Closure:
        operand, operate = self.compile(node.operand), invert if node.operator == "!" else negate
        return operated_alone(node, operate, operand)

    def _binary(self, node: Binary) -> Closure:
        if node.operator == "in":
            return self._membership(node)
        self.cost += node.operator in ARITHMETIC
        operate, left = OPERATIONS[node.operator], self.compile(node.left)
        if isinstance(node.right, Literal):
            self.cost += 1
            return operated_with(node, operate, left, node.right.value)
        return operated(node, operate, left, self.compile(node.right))

    def _membership(self, node: Binary) -> Closure:
        left = self.compile(node.left)
        among = node.right
        if isinstance(among, ListLiteral) and all(isinstance(one, Literal) for one in among.elements):
            self.cost += 1
            return constant_membership(
                left, [one.value for one in among.elements if isinstance(one, Literal)]
            )
        return operated(node, membership, left, self.compile(among))

    def _logic(self, node: Logic) -> Closure:
        operands = tuple(self.compile(operand) for operand in node.operands)
        return logic(node.operator, operands, decisive=node.operator == "||")

    def _conditional(self, node: Conditional) -> Closure:
        condition = self.compile(node.condition)
        then, otherwise = self.compile(node.then), self.compile(node.otherwise)
        return chosen(node, condition, then, otherwise)

    def _list(self, node: ListLiteral) -> Closure:
        self.cost += COST_OF_CONTAINER
        elements = [self.compile(element) for element in node.elements]
        if node.optional:
            marked = [(element, place in node.optional) for place, element in enumerate(elements)]
            return list_with_optionals(marked)
        return lambda frame: [element(frame) for element in elements]

    def _map(self, node: MapLiteral) -> Closure:
        self.cost += COST_OF_CONTAINER
        names = [key.value for key, _ in node.entries if isinstance(key, Literal)]
        if len(names) == len(node.entries) and not node.optional:
            self.cost += len(names)
            return map_of_names(
                [(name, self.compile(value)) for name, (_, value) in zip(names, node.entries, strict=True)]
            )
        return map_of(
            [
                (self.compile(key), self.compile(value), place in node.optional)
                for place, (key, value) in enumerate(node.entries)
            ]
        )

    def _call(self, node: Call) -> Closure:
        self.cost += _COST_OF_CALL
        parts = node.arguments if node.target is None else (node.target, *node.arguments)
        if node.function == "size" and len(parts) == 1:
            return sized(node, FUNCTIONS["size"], self._unopened(parts[0]))
        arguments = [self.compile(part) for part in parts]
        if node.target is None and node.function in self._analysis.calls:
            return host_call(name_reader(node.function), arguments)
        if node.function in LAZY_METHODS:
            return or_else(node.function, *arguments)
        return overloaded(node, (FUNCTIONS if node.target is None else METHODS)[node.function], arguments)

    def _macro(self, node: Macro) -> Closure:
        target = self.compile(node.target)
        before, self.cost = self.cost, 1
        slot = len(self._variables)
        self._variables.append(node.variable)
        self.slots = max(self.slots, len(self._variables))
        where = None if node.where is None else self.compile(node.where)
        body = self.compile(node.body)
        self._variables.pop()
        turn, self.cost = self.cost, before
        return loop_closure(
            Loop(macro=node.macro, target=target, slot=slot, where=where, body=body, cost=turn),
        )

    _EMITTERS: ClassVar[Mapping[type, Callable[..., Closure]]] = {
        Literal: _literal,
        Name: _name,
        Select: _select,
        Index: _index,
        Has: _has,
        Unary: _unary,
        Binary: _binary,
        Logic: _logic,
        Conditional: _conditional,
        ListLiteral: _list,
        MapLiteral: _map,
        Call: _call,
        Macro: _macro,
    }
