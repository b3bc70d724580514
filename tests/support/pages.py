"""Markdown pages taken apart: their fenced blocks and their tables, in the order of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.tree import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = "```"
_BARS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the word behind the fence, the lines in it, and the line of text before it."""

    kind: str
    text: str
    lead: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table: the words of its head, and those of each row."""

    head: list[str]
    rows: list[list[str]]


def parts_of(path: Path) -> Iterator[Block | Table]:
    """The blocks and tables of a page."""
    lines, lead = iter(path.read_text().splitlines()), ""
    for line in lines:
        if line.startswith(FENCE):
            inside = iter(lines.__next__, FENCE)
            yield Block(line.removeprefix(FENCE), "".join(f"{each}\n" for each in inside), lead)
        elif line.startswith("|"):
            rows = [_cells(line)]
            while (line := next(lines, "")).startswith("|"):
                rows.append(_cells(line))
            yield Table(rows[0], rows[2:])
        lead = line or lead


def blocks_of(path: Path, kind: str) -> list[Block]:
    """The blocks of one kind."""
    return [part for part in parts_of(path) if isinstance(part, Block) and part.kind == kind]


def tables_of(path: Path, *head: str) -> list[Table]:
    """The tables whose head begins with these words."""
    return [part for part in parts_of(path) if isinstance(part, Table) and part.head[: len(head)] == [*head]]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in _BARS.split(line)[1:-1]]
