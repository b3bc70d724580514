"""Which values an expression names: every path from a top-level name over keys written out."""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.expressions.syntax import Has, Index, Literal, Name, Node, Select, children


def named_paths(tree: Node) -> Iterator[tuple[str, ...]]:
    """Each path, as long as its keys are constants; variables of macros appear like any other name.

    Whatever is done with a path's value is done with the whole of it, so nothing beyond it is needed, and
    leaving out its neighbours changes nothing.
    """
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        path = _path(node.select if isinstance(node, Has) else node)
        if path is None:
            waiting += children(node)
        else:
            yield path


def _path(node: Node) -> tuple[str, ...] | None:
    keys: list[str] = []
    while not isinstance(node, Name):
        match node:
            case Select():
                keys.append(node.field)
            case Index(key=Literal(value=str() as key)):
                keys.append(key)
            case _:
                return None
        node = node.operand
    return (node.name, *reversed(keys))
