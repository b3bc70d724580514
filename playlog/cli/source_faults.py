"""Faults of a playbook shown at their place in the source, with a caret."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue
from rich.console import Console, Group, RenderableType
from rich.text import Text

from engine.language.faults import MAX_FAULTS

WORD = re.compile(r"""[\w./-]+|"[^"]*"|'[^']*'""")
LINE_ENDS = re.compile(r"\r\n|\r|\n")
INDENT = "  "
NEXT = f"\n{INDENT}"
ROOM = 20
"""Columns left of the caret that are kept of a line too long to be shown whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFault:
    """One fault: `line` and `column` count from 1."""

    line: int
    column: int
    path: str
    message: str
    hint: str | None

    @classmethod
    def of(cls, fault: Mapping[str, JsonValue]) -> SourceFault:
        """Read a fault as the language reports it."""
        hint = fault.get("hint")
        return cls(
            line=_whole(fault.get("line")),
            column=_whole(fault.get("column")),
            path=str(fault.get("path") or ""),
            message=str(fault.get("message") or ""),
            hint=None if hint is None else str(hint),
        )


def render_faults(
    name: str, source: bytes, faults: Sequence[Mapping[str, JsonValue]], console: Console
) -> RenderableType:
    """Return all faults of a file, each with its line and a caret below it."""
    lines = LINE_ENDS.split(source.decode(errors="replace"))
    known = [SourceFault.of(fault) for fault in faults]
    count = f"{len(known)} fault{'' if len(known) == 1 else 's'}{' or more' * (len(known) >= MAX_FAULTS)}"
    shown = [_render(name, lines, fault, console.width) for fault in known]
    return Group(*shown, Text(f"{name}: {count}", style="bold red"))


def _render(name: str, lines: Sequence[str], fault: SourceFault, width: int) -> Text:
    place = f"{name}:{fault.line}:{fault.column}"
    text = Text()
    text.append(place, style="bold")
    if fault.path:
        narrow = len(place) + 2 + len(fault.path) > width
        text.append(f"{NEXT if narrow else '  '}{fault.path}", style="cyan")
    text.append("\n")
    for line in textwrap.wrap(fault.message, width - len(INDENT), break_on_hyphens=False):
        text.append(f"{INDENT}{line}\n", style="red")
    line = lines[fault.line - 1] if 1 <= fault.line <= len(lines) else ""
    return text.append_text(_excerpt(line, fault, width))


def _excerpt(line: str, fault: SourceFault, width: int) -> Text:
    gutter = len(str(fault.line))
    shown, at = crop(line.replace("\t", " "), fault.column - 1, width - gutter - 5)
    marked = span(shown, at)
    text = Text()
    text.append(f" {fault.line} | ", style="blue").append(f"{shown}\n")
    text.append(f" {' ' * gutter} | ", style="blue")
    text.append(f"{' ' * at}{'^' * marked}", style="bold red")
    hint = fault.hint or ""
    if hint and gutter + 4 + at + marked + 1 + len(hint) <= width:
        return text.append(f" {hint}", style="green").append("\n")
    text.append("\n")
    for number, part in enumerate(textwrap.wrap(hint, width - gutter - 6, break_on_hyphens=False)):
        text.append(f" {' ' * gutter} {'  ' if number else '= '}", style="blue").append(
            f"{part}\n", style="green"
        )
    return text


def span(line: str, at: int) -> int:
    """How many characters a fault at `at` is underlined: the word or quoted text there, one at least."""
    word = WORD.match(line, at)
    return 1 if word is None else word.end() - word.start()


def crop(line: str, at: int, width: int) -> tuple[str, int]:
    """Return the part of a line that fits, and where in it the place `at` now is."""
    width = max(width, 2 * ROOM)
    start = max(0, at - width + ROOM) if at >= width - ROOM else 0
    shown = line[start : start + width]
    if start > 0:
        shown = f"...{shown[3:]}"
    if start + width < len(line):
        shown = f"{shown[:-3]}..."
    return shown, max(0, at - start)


def _whole(value: JsonValue) -> int:
    return value if isinstance(value, int) else 1
