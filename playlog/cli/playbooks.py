"""`playlog validate` and `playlog register`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from pydantic import JsonValue

from engine.errors import Invalid
from engine.language import ParsedPlaybook, parse
from playlog.answers import Registered
from playlog.cli.command import command
from playlog.cli.failures import USAGE
from playlog.cli.session import Session
from playlog.cli.source_faults import render_faults
from playlog.client import ApiError, Client

FAULTY = "invalid_playbook"

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A playbook, in YAML or JSON.")]
Faults = Sequence[Mapping[str, JsonValue]]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    command(app)(validate)
    command(app)(register)


def validate(session: Session, file: FileArgument) -> int | None:
    """Check a playbook without any server, and show every fault at its place."""
    source = file.read_bytes()
    try:
        parsed = parse(source, str(file))
    except Invalid as error:
        return show_faults(session, file, source, error.data["faults"])
    steps = len(parsed.definition.steps)
    document = {"valid": True, "path": parsed.path, "hash": parsed.hash.hex(), "steps": steps}
    session.answer(document, _valid(file, parsed))
    return None


async def register(session: Session, file: FileArgument) -> int | None:
    """Store a playbook as the newest version of its path."""
    source = await asyncio.to_thread(file.read_bytes)
    async with session.client() as client:
        try:
            registered = await register_source(client, source)
        except ApiError as error:
            if error.code != FAULTY:
                raise
            return show_faults(session, file, source, faults_of(error))
    session.answer(registered, registered_text(registered))
    return None


async def register_source(client: Client, source: bytes) -> Registered:
    """Register a source; raises `Invalid` when it is no text."""
    try:
        text = source.decode()
    except UnicodeDecodeError:
        raise Invalid("the playbook is not UTF-8; save it as plain UTF-8") from None
    return await client.register(text)


def registered_text(registered: Registered) -> str:
    """Say which version a playbook has now."""
    return f"{registered['path']} version {registered['version']}, hash {registered['hash'][:12]}"


def faults_of(error: ApiError) -> Faults:
    """The faults that the API found in a source."""
    faults = error.problem.get("faults")
    return cast("Faults", faults) if isinstance(faults, list) else ()


def show_faults(session: Session, file: Path, source: bytes, faults: Faults) -> int:
    """Show the faults of a file and return the exit code for them."""
    if session.json:
        session.answer({"valid": False, "faults": list(faults)})
    else:
        session.errors.print(render_faults(str(file), source, faults, session.errors))
    return USAGE


def _valid(file: Path, parsed: ParsedPlaybook) -> str:
    steps = len(parsed.definition.steps)
    noun = "step" if steps == 1 else "steps"
    return f"[green]{file} is valid[/green]: {parsed.path}, {steps} {noun}, hash {parsed.hash.hex()[:12]}"
