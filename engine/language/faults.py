"""What is wrong with a playbook, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TypeAlias

from engine.errors import Invalid
from engine.language.near import nearest

MAX_FAULTS = 100

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: `line` and `column` count from 1, `path` names the place in the data."""

    line: int
    column: int
    path: str
    message: str
    hint: str | None = None

    def render(self, filename: str) -> str:
        """Word the fault as `file:line:col: path: message` and what to do about it."""
        return f"{filename}:{self.line}:{self.column}: {self.text()}"

    def text(self) -> str:
        """Word the fault without its position."""
        where = f"{self.path}: " if self.path else ""
        if self.hint is None:
            return f"{where}{self.message}"
        return f"{where}{self.message}{', ' if self.hint.startswith('did you') else '; '}{self.hint}"


def invalid_playbook(faults: Iterable[Fault], filename: str) -> Invalid:
    """Return the error that carries every fault in the order of the source, 100 at most.

    `data["faults"]` is a list of `{line, column, path, message, hint, text}`.
    """
    ordered = sorted(set(faults), key=lambda fault: (fault.line, fault.column, fault.path, fault.message))
    shown = [{**asdict(fault), "text": fault.render(filename)} for fault in ordered[:MAX_FAULTS]]
    count = f"{len(shown)} fault{'' if len(shown) == 1 else 's'}{' or more' * (len(shown) == MAX_FAULTS)}"
    detail = f"the playbook has {count}: {ordered[0].render(filename)}"
    return Invalid(detail, code="invalid_playbook", faults=shown)


def path_text(path: Path) -> str:
    """Write a path as people do: `steps[2].with.url`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return the hint that names the known word nearest to `word`, if one is near."""
    near = nearest(word, known)
    return f'did you mean "{near}"?' if near else None


def one_of(words: Iterable[str]) -> str:
    """List words as a choice: `a, b or c`."""
    listed = list(words)
    return " or ".join(part for part in (", ".join(listed[:-1]), *listed[-1:]) if part)
