"""The way in: the source of a playbook to its definition, or every fault in it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.domain.definition import Definition
from engine.language.canonical import canonical
from engine.language.check import check
from engine.language.compiler import compile_definition
from engine.language.faults import Fault, invalid_playbook
from engine.language.report import Report
from engine.language.shape import shape
from engine.language.source import read
from engine.language.tools import BUILTIN_TOOLS, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedPlaybook:
    """A valid playbook: its canonical JSON, the 32-byte hash of that, and what a catalog lists."""

    canonical: bytes
    hash: bytes
    path: str
    description: str | None
    owner: str | None
    tags: tuple[str, ...]
    definition: Definition


def parse(
    source: bytes, filename: str = "playbook.yaml", *, tools: Mapping[str, Tool] = BUILTIN_TOOLS
) -> ParsedPlaybook:
    """Read, validate and compile one playbook in YAML or JSON; `tools` are those a step may use, by name.

    Raises `Invalid` (`invalid_playbook`) with `faults`: see `engine.language.faults.invalid_playbook`.
    """
    document = read(source)
    if document.root is None:
        raise invalid_playbook(document.faults, filename)
    shaped = shape(document)
    report = Report(document=document, left_out=shaped.left_out, faults=[*shaped.faults])
    if shaped.playbook is not None:
        check(shaped.playbook, report, tools)
    faults = _without_echoes(document.faults, report.faults)
    if faults or shaped.playbook is None:
        raise invalid_playbook(faults, filename)
    written = canonical(shaped.playbook)
    definition = compile_definition(written)
    return ParsedPlaybook(
        canonical=written,
        hash=definition.hash,
        path=definition.path,
        description=shaped.playbook.description,
        owner=shaped.playbook.owner,
        tags=tuple(shaped.playbook.tags or ()),
        definition=definition,
    )


def _without_echoes(first: Sequence[Fault], later: Sequence[Fault]) -> list[Fault]:
    """Drop what is said of a value that could not even be read."""
    places = {(fault.line, fault.column, fault.path) for fault in first}
    return [*first, *(fault for fault in later if (fault.line, fault.column, fault.path) not in places)]
