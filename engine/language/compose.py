"""Parser events to nodes, with every cap kept while reading: depth, size, aliases and their expansion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import yaml

from engine.language.document import Document, Mark, Node
from engine.language.faults import Fault, Path, path_text
from engine.language.scalars import resolve

MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_CHARS = 1_048_576
MAX_ALIASES = 100


class Refused(Exception):  # noqa: N818  # carries the fault that ends the reading
    """The source cannot be read any further."""

    def __init__(self, mark: Mark, message: str, hint: str | None = None, path: Path = ()) -> None:
        super().__init__(message)
        self.fault = Fault(mark.line, mark.column, path_text(path), message, hint)


@dataclass(slots=True)
class _Frame:
    """A collection that is still open; a mapping waits for a value while `key` is set."""

    node: Node
    path: Path
    anchor: str | None
    key: tuple[Mark, str] | None = None

    def next_path(self) -> Path:
        if self.node.items is not None:
            return (*self.path, len(self.node.items))
        return (*self.path, self.key[1]) if self.key else self.path


@dataclass(slots=True)
class Composer:
    """Builds the tree of one document from its events; raises `Refused` when a cap is passed."""

    source: str
    document: Document = field(default_factory=Document)
    _stack: list[_Frame] = field(default_factory=list)
    _anchors: dict[str, Node] = field(default_factory=dict)
    _aliases: int = 0
    _size: int = 0
    _chars: int = 0

    def compose(self, events: Iterable[yaml.Event]) -> Document:
        """Read every event of the stream; returns the document with the faults that did not end it."""
        documents = 0
        for event in events:
            mark = _mark(event)
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    self._start_document(event, mark, documents)
                case yaml.ScalarEvent():
                    self._scalar(event, mark)
                case yaml.AliasEvent():
                    self._alias(event, mark)
                case yaml.CollectionStartEvent():
                    self._open(event, mark)
                case yaml.CollectionEndEvent():
                    self._close()
        if documents == 0:
            raise Refused(Mark(1, 1), "the source is empty", "a playbook starts with `playbook: <path>`")
        return self.document

    def _start_document(self, event: yaml.DocumentStartEvent, mark: Mark, count: int) -> None:
        if count > 1:
            raise Refused(mark, "a second document starts here", "one source holds one playbook")
        if event.tags or event.version not in (None, (1, 2)):
            raise Refused(mark, "directives are not allowed", "remove the lines that start with `%`")

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.node.entries is not None and frame.key is None:
            self._count(mark, 1, len(event.value))
            frame.key = (mark, self._key(event, mark, frame))
            return
        path = frame.next_path() if frame else ()
        self._refuse_tag(event.tag, mark, path)
        node = Node(mark=mark, value=event.value, chars=len(event.value))
        if event.start_mark is not None and event.end_mark is not None:
            node.raw = self.source[event.start_mark.index : event.end_mark.index]
        if event.implicit[0] and not event.style:
            node.value = self._resolve(event.value, mark, path)
        elif "\0" in event.value:
            self._report(mark, path, "the character NUL cannot be stored", "remove `\\0`")
        self._add(node, event.anchor)

    def _resolve(self, text: str, mark: Mark, path: Path) -> str | int | float | bool | None:
        try:
            return resolve(text)
        except ValueError as error:
            self._report(mark, path, f"{text[:40]} {error}", "write it in quotes if it is meant as text")
            return text

    def _key(self, event: yaml.ScalarEvent, mark: Mark, frame: _Frame) -> str:
        name: str = event.value
        path = (*frame.path, name)
        self._refuse_tag(event.tag, mark, path)
        if not event.style and not isinstance(self._resolve(name, mark, path), str):
            self._report(mark, path, f"the key {name or '(nothing)'} is not text", "write it in quotes")
        if name == "<<" and not event.style:
            self._report(mark, path, "merge keys are not part of YAML 1.2", "write the merged keys out")
        if "\0" in name:
            self._report(mark, path, "the character NUL cannot be stored", "remove `\\0`")
        return name

    def _alias(self, event: yaml.AliasEvent, mark: Mark) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise Refused(mark, f"more than {MAX_ALIASES} aliases", "write the values out")
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.node.entries is not None and frame.key is None:
            raise Refused(mark, "an alias cannot be a key", "write the key out", frame.path)
        if any(open_frame.anchor == event.anchor for open_frame in self._stack):
            raise Refused(mark, f"the alias *{event.anchor} contains itself", "write the value out")
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise Refused(
                mark, f"the alias *{event.anchor} names no anchor", f"define &{event.anchor} above it"
            )
        self._deepen(mark, node.height)
        self._add(node, None)

    def _open(self, event: yaml.CollectionStartEvent, mark: Mark) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.node.entries is not None and frame.key is None:
            raise Refused(mark, "a key must be text", "a mapping or list cannot be a key", frame.path)
        self._deepen(mark, 1)
        path = frame.next_path() if frame else ()
        self._refuse_tag(event.tag, mark, path)
        node = Node(mark=mark, height=1)
        if isinstance(event, yaml.MappingStartEvent):
            node.entries = {}
        else:
            node.items = []
        self._count(mark, 1, 0)
        self._stack.append(_Frame(node, path, event.anchor))

    def _close(self) -> None:
        frame = self._stack.pop()
        self._attach(frame.node)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = frame.node

    def _add(self, node: Node, anchor: str | None) -> None:
        self._count(node.mark, node.size, node.chars)
        self._attach(node)
        if anchor is not None:
            self._anchors[anchor] = node

    def _attach(self, node: Node) -> None:
        if not self._stack:
            self.document.root = node
            return
        frame = self._stack[-1]
        parent = frame.node
        parent.size += node.size
        parent.chars += node.chars
        parent.height = max(parent.height, node.height + 1)
        if parent.items is not None:
            parent.items.append(node)
        elif parent.entries is not None and frame.key is not None:
            self._enter(parent.entries, frame.key, node, frame.path)
            frame.key = None

    def _enter(
        self, entries: dict[str, tuple[Mark, Node]], key: tuple[Mark, str], node: Node, path: Path
    ) -> None:
        mark, name = key
        if name in entries:
            first = entries[name][0].line
            self._report(mark, (*path, name), f"duplicate key, first in line {first}", "keep one of them")
            return
        entries[name] = (mark, node)

    def _count(self, mark: Mark, nodes: int, chars: int) -> None:
        self._size += nodes
        self._chars += chars
        if self._size > MAX_NODES:
            raise Refused(mark, f"more than {MAX_NODES} values", "split the playbook")
        if self._chars > MAX_CHARS:
            raise Refused(mark, "the aliases expand to more than 1 MiB of text", "split the playbook")

    def _deepen(self, mark: Mark, levels: int) -> None:
        if len(self._stack) + levels > MAX_DEPTH:
            raise Refused(mark, f"nested deeper than {MAX_DEPTH} levels", "flatten the data")

    def _refuse_tag(self, tag: str | None, mark: Mark, path: Path) -> None:
        if tag is not None:
            shown = tag.replace("tag:yaml.org,2002:", "!!")[:60]
            self._report(mark, path, f"the tag {shown} is not allowed", "write the plain value")

    def _report(self, mark: Mark, path: Path, message: str, hint: str) -> None:
        self.document.faults.append(Fault(mark.line, mark.column, path_text(path), message, hint))


def _mark(event: yaml.Event) -> Mark:
    place = event.start_mark
    return Mark(1, 1) if place is None else Mark(place.line + 1, place.column + 1)
