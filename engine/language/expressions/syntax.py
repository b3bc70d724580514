"""The syntax tree: one frozen record a construct, each with the offset a fault about it is shown at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

_LONGEST_PATH = 160


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: null, bool, int, double or string."""

    at: int
    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the scope or the variable of a macro."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or `operand.?field` when `optional`."""

    at: int
    operand: Node
    field: str
    optional: bool


@dataclass(frozen=True, slots=True)
class Index:
    """`operand[key]`, or `operand[?key]` when `optional`."""

    at: int
    operand: Node
    key: Node
    optional: bool


@dataclass(frozen=True, slots=True)
class Unary:
    """`!operand` or `-operand`."""

    at: int
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """An arithmetic, a comparison or `in`."""

    at: int
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logic:
    """A whole chain of `&&` or of `||`."""

    at: int
    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """`condition ? then : otherwise`."""

    at: int
    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`[element, ?element, ...]`; `optional` are the places of the elements that may be absent."""

    at: int
    elements: tuple[Node, ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class MapLiteral:
    """`{key: value, ?key: value, ...}`; `optional` are the places of the entries that may be absent."""

    at: int
    entries: tuple[tuple[Node, Node], ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Call:
    """`function(arguments)`, or `target.function(arguments)`."""

    at: int
    function: str
    target: Node | None
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """`has(operand.field)`."""

    at: int
    select: Select


@dataclass(frozen=True, slots=True)
class Macro:
    """`target.macro(variable, body)`; `where` is the middle argument of a three-argument `map`."""

    at: int
    macro: str
    target: Node
    variable: str
    where: Node | None
    body: Node


Node: TypeAlias = (
    Literal
    | Name
    | Select
    | Index
    | Unary
    | Binary
    | Logic
    | Conditional
    | ListLiteral
    | MapLiteral
    | Call
    | Has
    | Macro
)


def children(node: Node) -> tuple[Node, ...]:
    """The direct parts of a node, in the order of the source."""
    match node:
        case Literal() | Name():
            return ()
        case Select() | Unary():
            return (node.operand,)
        case Index():
            return (node.operand, node.key)
        case Binary():
            return (node.left, node.right)
        case Conditional():
            return (node.condition, node.then, node.otherwise)
        case _:
            return _many(node)


def _many(node: Logic | ListLiteral | MapLiteral | Call | Has | Macro) -> tuple[Node, ...]:
    match node:
        case Has():
            return (node.select,)
        case Logic():
            return node.operands
        case ListLiteral():
            return node.elements
        case MapLiteral():
            return tuple(part for entry in node.entries for part in entry)
        case Call():
            return node.arguments if node.target is None else (node.target, *node.arguments)
        case Macro():
            return (node.target, *(() if node.where is None else (node.where,)), node.body)


def start(node: Node) -> int:
    """The offset at which the text of a node begins, brackets aside."""
    first = node.at
    while parts := children(node):
        node = parts[0]
        first = min(first, node.at)
    return first


def path(node: Node) -> str:
    """A node as a path in errors: names and constant keys as written, `[...]` for a computed key."""
    text = _path(node)
    return text if len(text) <= _LONGEST_PATH else f"...{text[-_LONGEST_PATH:]}"


def _path(node: Node) -> str:
    match node:
        case Name():
            return node.name
        case Select():
            return f"{_path(node.operand)}.{node.field}"
        case Index():
            return f"{_path(node.operand)}[{_key(node.key)}]"
        case Call() | Has() | Macro():
            return _call_path(node)
        case _:
            return "(...)"


def _key(node: Node) -> str:
    match node:
        case Literal(value=str() as key):
            return repr(key[:_LONGEST_PATH])
        case Literal(value=int() | float() as key):
            return repr(key)
        case _:
            return "..."


def _call_path(node: Call | Has | Macro) -> str:
    if isinstance(node, Has):
        return f"has({_path(node.select)})"
    name = node.function if isinstance(node, Call) else node.macro
    return f"{name}(...)" if node.target is None else f"{_path(node.target)}.{name}(...)"
