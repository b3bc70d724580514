"""`playlog validate` and `playlog schema`: what needs no server."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import Invalid
from engine.language import ParsedPlaybook, json_schema, parse
from playlog.cli.command import command
from playlog.cli.failures import FAILED, OK, USAGE, explain
from playlog.cli.playbooks import Faults
from playlog.cli.session import Output, Session
from playlog.cli.source_faults import render_faults

STDIN = Path("-")
ENDINGS = frozenset({".yaml", ".yml"})
IS_PLAYBOOK = re.compile(rb"""^[{\s]*["']?playbook["']?\s*:""", re.MULTILINE)


class Schemas(StrEnum):
    """What there is a JSON Schema of."""

    PLAYBOOK = "playbook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is known of one file: a valid playbook, or its faults, or why it cannot be read."""

    name: str
    source: bytes = b""
    parsed: ParsedPlaybook | None = None
    faults: Faults = ()
    unreadable: str | None = None

    def document(self) -> dict[str, object]:
        """The entry for this file in the answer to programs."""
        known: dict[str, object] = {"file": self.name, "valid": self.parsed is not None}
        if self.parsed is not None:
            steps = len(self.parsed.definition.steps)
            known |= {"path": self.parsed.path, "hash": self.parsed.hash.hex(), "steps": steps}
        if self.unreadable is not None:
            known["error"] = self.unreadable
        return {**known, "faults": list(self.faults)}


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    command(app)(validate)
    command(app)(schema)


def validate(
    session: Session,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Playbooks, directories of them, or - for standard input."),
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --output json.")] = False,
) -> int:
    """Check playbooks without any server, and show every fault at its place.

    In directories every YAML file with a key `playbook` is checked. The exit code is 1 for faults, and 2
    for files that cannot be read.
    """
    if as_json:
        session = replace(session, output=Output.JSON)
    checked = [_check(name, path) for path in files for name, path in _playbooks(path)]
    if session.json:
        faults = sum(len(each.faults) for each in checked)
        valid = all(each.parsed is not None for each in checked)
        files_of = [each.document() for each in checked]
        session.answer({"valid": valid, "faults": faults, "files": files_of})
    else:
        _show(session, checked)
    if any(each.unreadable is not None for each in checked):
        return USAGE
    return FAILED if any(each.faults for each in checked) else OK


def schema(
    session: Session,
    of: Annotated[Schemas, typer.Argument(metavar="playbook", help="What the schema is of.")],
) -> None:
    """Print the JSON Schema by which editors complete and check playbooks."""
    del session, of
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


def _playbooks(path: Path) -> Iterator[tuple[str, Path]]:
    """The files that an argument names; a directory without any stands for itself, to be refused."""
    if not path.is_dir():
        yield ("<stdin>" if path == STDIN else str(path)), path
        return
    found = sorted(file for file in path.rglob("*") if file.suffix in ENDINGS and _is_playbook(file))
    yield from ((str(file), file) for file in found or [path])


def _is_playbook(file: Path) -> bool:
    """Whether a file of a directory is meant to be a playbook; one that cannot be read may be."""
    try:
        return IS_PLAYBOOK.search(file.read_bytes()) is not None
    except OSError:
        return True


def _check(name: str, path: Path) -> Checked:
    if path.is_dir():
        return Checked(name=name, unreadable="no YAML file in this directory has a key `playbook`")
    try:
        source = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        return Checked(name=name, unreadable=explain(error).text.removeprefix(f"{path}: "))
    try:
        return Checked(name=name, source=source, parsed=parse(source, name))
    except Invalid as error:
        return Checked(name=name, source=source, faults=error.data["faults"])


def _show(session: Session, checked: Sequence[Checked]) -> None:
    for each in checked:
        if each.unreadable is not None:
            line = f"playlog: {each.name}: {each.unreadable}"
            session.errors.print(line, style="red", markup=False, soft_wrap=True)
        elif each.parsed is None:
            session.errors.print(render_faults(each.name, each.source, each.faults, session.errors))
        else:
            session.say(_valid(each.name, each.parsed), style="green")
    if len(checked) > 1:
        session.errors.print(_summary(checked), style="bold", soft_wrap=True)


def _valid(name: str, parsed: ParsedPlaybook) -> str:
    steps = _counted(len(parsed.definition.steps), "step")
    return f"{name} is valid: {parsed.path}, {steps}, hash {parsed.hash.hex()[:12]}"


def _summary(checked: Sequence[Checked]) -> str:
    faults = sum(len(each.faults) for each in checked)
    faulty = sum(bool(each.faults) for each in checked)
    parts = [f"{_counted(faults, 'fault')} in {_counted(faulty, 'file')}"] if faulty else []
    parts += _told(sum(each.unreadable is not None for each in checked), "not readable")
    parts += _told(sum(each.parsed is not None for each in checked), "valid")
    return ", ".join(parts)


def _told(count: int, what: str) -> Iterable[str]:
    return [f"{count} {what}"] if count else []


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
