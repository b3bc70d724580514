"""The compiler: a checked tree to nested closures, each taking a frame and giving a value."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatchmethod

from engine.domain.expression import ExpressionFailed
from engine.language.expressions.access import (
    constant_key,
    has_member,
    member,
    name_reader,
    optional_member,
    path_reader,
)
from engine.language.expressions.analysis import Analysis
from engine.language.expressions.calling import host_call, or_else, overloaded
from engine.language.expressions.containers import COST_OF_CONTAINER, list_with_optionals, map_of
from engine.language.expressions.frame import Closure, Frame, absorb, mismatch
from engine.language.expressions.functions import FUNCTIONS, LAZY_METHODS, METHODS
from engine.language.expressions.macros import Loop, loop_closure
from engine.language.expressions.membership import constant_membership, membership
from engine.language.expressions.operators import NO_OVERLOAD, OPERATIONS, Operation, invert, negate
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
)
from engine.language.expressions.types import worded
from engine.language.expressions.values import TYPE_NAMES, kind_of


class Compiler:
    """Compiles one tree; `cost` is the fuel of its nodes, `slots` how many variables its macros need.

    `passed` are the nodes that may give a handle.
    """

    def __init__(self, analysis: Analysis, passed: frozenset[int] = frozenset()) -> None:
        self.cost = 0
        self.slots = 0
        self._analysis = analysis
        self._passed = passed
        self._variables: list[str] = []

    def compile(self, node: Node) -> Closure:
        """Compile a node with all below it."""
        self.cost += 1
        closure: Closure = self._emit(node)
        return _widening(closure) if id(node) in self._analysis.widened else closure

    @singledispatchmethod
    def _emit(self, node: Node) -> Closure:
        raise TypeError(type(node).__name__)

    @_emit.register(Literal)
    def _literal(self, node: Literal) -> Closure:
        value = node.value
        return lambda _: value

    @_emit.register(Name)
    def _name(self, node: Name) -> Closure:
        for slot in reversed(range(len(self._variables))):
            if self._variables[slot] == node.name:
                return lambda frame: frame.variables[slot]
        if node.name in self._analysis.names:
            return name_reader(node.name)
        named = TYPE_NAMES[node.name]
        return lambda _: named

    @_emit.register(Select)
    def _select(self, node: Select) -> Closure:
        chain = self._chain(node)
        if chain is not None:
            return chain
        operand, key = self.compile(node.operand), node.field
        if node.optional:
            return lambda frame: optional_member(operand(frame), key, node)
        return lambda frame: member(operand(frame), key, node)

    @_emit.register(Index)
    def _index(self, node: Index) -> Closure:
        chain = self._chain(node)
        if chain is not None:
            return chain
        operand, key = self.compile(node.operand), self.compile(node.key)
        if node.optional:
            return lambda frame: optional_member(operand(frame), key(frame), node)
        return lambda frame: member(operand(frame), key(frame), node)

    def _chain(self, node: Node) -> Closure | None:
        nodes: list[Node] = []
        keys: list[str] = []
        opens = id(node) not in self._passed
        while isinstance(node, Select | Index):
            key = constant_key(node)
            if key is None:
                return None
            nodes.append(node)
            keys.append(key)
            node = node.operand
        if not isinstance(node, Name) or node.name in self._variables:
            return None
        self.cost += len(nodes)
        return path_reader(node.name, nodes[::-1], keys[::-1], opens=opens)

    @_emit.register(Has)
    def _has(self, node: Has) -> Closure:
        select = node.select
        operand = self.compile(select.operand)
        return lambda frame: has_member(operand(frame), select.field, select)

    @_emit.register(Unary)
    def _unary(self, node: Unary) -> Closure:
        operand, operate = self.compile(node.operand), invert if node.operator == "!" else negate

        def unary(frame: Frame) -> object:
            value = operand(frame)
            result = operate(value)
            if result is NO_OVERLOAD:
                raise mismatch(f"'{node.operator}' has no meaning for {worded(kind_of(value))}{_of(node)}")
            return result

        return unary

    @_emit.register(Binary)
    def _binary(self, node: Binary) -> Closure:
        if node.operator == "in":
            return self._membership(node)
        left, right = self.compile(node.left), self.compile(node.right)
        return _operated(node, OPERATIONS[node.operator], left, right)

    def _membership(self, node: Binary) -> Closure:
        left = self.compile(node.left)
        among = node.right
        if isinstance(among, ListLiteral) and all(isinstance(one, Literal) for one in among.elements):
            self.cost += 1
            return constant_membership(
                left, [one.value for one in among.elements if isinstance(one, Literal)]
            )
        return _operated(node, membership, left, self.compile(among))

    @_emit.register(Logic)
    def _logic(self, node: Logic) -> Closure:
        operands = tuple(self.compile(operand) for operand in node.operands)
        return _logic(node.operator, operands, decisive=node.operator == "||")

    @_emit.register(Conditional)
    def _conditional(self, node: Conditional) -> Closure:
        condition = self.compile(node.condition)
        then, otherwise = self.compile(node.then), self.compile(node.otherwise)

        def choose(frame: Frame) -> object:
            verdict = condition(frame)
            if verdict is True:
                return then(frame)
            if verdict is False:
                return otherwise(frame)
            raise mismatch(f"the condition of '?:' is {worded(kind_of(verdict))}, not a bool{_of(node)}")

        return choose

    @_emit.register(ListLiteral)
    def _list(self, node: ListLiteral) -> Closure:
        self.cost += COST_OF_CONTAINER
        elements = [self.compile(element) for element in node.elements]
        if node.optional:
            marked = [(element, place in node.optional) for place, element in enumerate(elements)]
            return list_with_optionals(marked)
        return lambda frame: [element(frame) for element in elements]

    @_emit.register(MapLiteral)
    def _map(self, node: MapLiteral) -> Closure:
        self.cost += COST_OF_CONTAINER
        return map_of(
            [
                (self.compile(key), self.compile(value), place in node.optional)
                for place, (key, value) in enumerate(node.entries)
            ]
        )

    @_emit.register(Call)
    def _call(self, node: Call) -> Closure:
        parts = node.arguments if node.target is None else (node.target, *node.arguments)
        arguments = [self.compile(part) for part in parts]
        if node.target is None and node.function in self._analysis.calls:
            return host_call(name_reader(node.function), arguments)
        if node.function in LAZY_METHODS:
            return or_else(node.function, *arguments)
        return overloaded(node, (FUNCTIONS if node.target is None else METHODS)[node.function], arguments)

    @_emit.register(Macro)
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


def _of(node: Node) -> str:
    match node:
        case Unary():
            named = path(node.operand)
        case Binary():
            named = f"{path(node.left)} {node.operator} {path(node.right)}"
        case Conditional():
            named = path(node.condition)
        case _:
            named = path(node)
    return f" in {named}"


def _widening(closure: Closure) -> Closure:
    def widened(frame: Frame) -> object:
        value = closure(frame)
        return float(value) if type(value) is int else value

    return widened


def _operated(node: Binary, operate: Operation, left: Closure, right: Closure) -> Closure:
    def operated(frame: Frame) -> object:
        one, other = left(frame), right(frame)
        result = operate(frame, one, other)
        if result is NO_OVERLOAD:
            kinds = f"{worded(kind_of(one))} and {worded(kind_of(other))}"
            raise mismatch(f"'{node.operator}' has no meaning for {kinds}{_of(node)}")
        return result

    return operated


def _logic(sign: str, operands: Sequence[Closure], *, decisive: bool) -> Closure:
    def logic(frame: Frame) -> bool:
        failure: ExpressionFailed | None = None
        for operand in operands:
            try:
                value = operand(frame)
            except ExpressionFailed as failed:
                failure = absorb(frame, failed, failure)
                continue
            if value is decisive:
                return decisive
            if not isinstance(value, bool):
                wrong = mismatch(f"'{sign}' needs bools, not {worded(kind_of(value))}")
                failure = absorb(frame, wrong, failure)
        if failure is not None:
            raise failure
        return not decisive

    return logic
