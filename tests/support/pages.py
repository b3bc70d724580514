"""Markdown pages taken apart: their fenced blocks and their tables, in the order of the page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.tree import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_PARTS = re.compile(
    r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$|^(?P<table>\|.*?)(?=^[^|]|\Z)", re.MULTILINE | re.DOTALL
)
_BARS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the word behind the fence, and the lines in it."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the words of its head, and those of each row, without the ticks around a whole cell."""

    head: list[str]
    rows: list[list[str]]


def parts_of(path: Path) -> list[Block | Table]:
    """The blocks and tables of a page."""
    return [
        Block(found["kind"], found["text"]) if found["table"] is None else _table(found["table"])
        for found in _PARTS.finditer(path.read_text())
    ]


def blocks_of(path: Path, kind: str) -> list[Block]:
    """The blocks of one kind."""
    return [part for part in parts_of(path) if isinstance(part, Block) and part.kind == kind]


def tables_of(path: Path, *head: str) -> list[Table]:
    """The tables whose head begins with these words."""
    return [part for part in parts_of(path) if isinstance(part, Table) and part.head[: len(head)] == [*head]]


def _table(text: str) -> Table:
    head, _, *rows = [
        [cell.strip().replace(r"\|", "|") for cell in _BARS.split(line)[1:-1]]
        for line in text.strip().splitlines()
    ]
    return Table(head, rows)
