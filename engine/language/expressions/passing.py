"""Which parts of an expression are only passed on into its result, so that a large value need not be read."""

from __future__ import annotations

from engine.language.expressions.syntax import Conditional, ListLiteral, MapLiteral, Node


def passed_on(tree: Node) -> frozenset[int]:
    """The ids of the nodes whose value becomes the result, or a part of it, as it is."""
    found: set[int] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        found.add(id(node))
        match node:
            case Conditional():
                waiting += [node.then, node.otherwise]
            case ListLiteral():
                waiting += node.elements
            case MapLiteral():
                waiting += [value for _, value in node.entries]
            case _:
                pass
    return frozenset(found)
