"""A source as a tree of nodes that remember where they were written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.language.faults import Fault, Path, path_text
from engine.language.scalars import Scalar


class Mark(NamedTuple):
    """A place in the source, counted from 1."""

    line: int
    column: int


@dataclass(slots=True, kw_only=True)
class Node:
    """A scalar, a mapping (`entries`) or a list (`items`); aliases share one node.

    `size`, `chars` and `height` count what the node expands to; `raw` is a scalar as it was written.
    """

    mark: Mark
    value: Scalar = None
    entries: dict[str, tuple[Mark, Node]] | None = None
    items: list[Node] | None = None
    raw: str = ""
    size: int = 1
    chars: int = 0
    height: int = 0

    def data(self) -> object:
        """Return the plain value: a fresh dict or list each time, or a scalar."""
        if self.entries is not None:
            return {key: node.data() for key, (_, node) in self.entries.items()}
        if self.items is not None:
            return [node.data() for node in self.items]
        return self.value


@dataclass(slots=True, kw_only=True)
class Document:
    """What was read: `root` is None when the source could not be read to its end."""

    root: Node | None = None
    faults: list[Fault] = field(default_factory=list)

    def fault(self, path: Path, message: str, hint: str | None = None, *, at_key: bool = False) -> Fault:
        """Build a fault at the value of `path` (or its key); a missing path stands where its parent does."""
        mark = self._key_mark(path) if at_key else self._find(path).mark
        return Fault(mark.line, mark.column, path_text(path), message, hint)

    def fault_inside(self, path: Path, place: Mark, message: str, hint: str | None = None) -> Fault:
        """Build a fault at a line and column inside the text at `path`, as exactly as its quoting allows."""
        mark = _inside(self._find(path), place)
        return Fault(mark.line, mark.column, path_text(path), message, hint)

    def scalar(self, path: Path) -> Scalar:
        """Return the scalar written at exactly this path, or None."""
        node = self._find(path)
        return node.value if self._find(path[:-1]) is not node else None

    def _find(self, path: Path) -> Node:
        node = self.root or Node(mark=Mark(1, 1))
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            node = found
        return node

    def _key_mark(self, path: Path) -> Mark:
        parent = self._find(path[:-1])
        key = path[-1] if path else None
        if parent.entries is not None and isinstance(key, str) and key in parent.entries:
            return parent.entries[key][0]
        return self._find(path).mark


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(part, str):
        entry = (node.entries or {}).get(part)
        return entry[1] if entry is not None else None
    items = node.items or []
    return items[part] if part < len(items) else None


def _inside(node: Node, place: Mark) -> Mark:
    raw = node.raw
    if raw.startswith("|"):
        return _inside_block(node, place)
    exact = "\n" not in raw and raw[:1] not in {">", "&"}
    if raw.startswith('"'):
        exact = exact and "\\" not in raw
    if raw.startswith("'"):
        exact = exact and "''" not in raw[1:-1]
    quote = 1 if raw[:1] in {'"', "'"} else 0
    return Mark(node.mark.line, node.mark.column + quote + place.column - 1) if exact else node.mark


def _inside_block(node: Node, place: Mark) -> Mark:
    lines = node.raw.split("\n")[1:]
    indents = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip()]
    return Mark(node.mark.line + place.line, min(indents, default=0) + place.column)
