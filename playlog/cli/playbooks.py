"""`playlog register`, and the faults of a playbook that is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from pydantic import JsonValue

from engine.errors import Invalid
from playlog.answers import Registered
from playlog.cli.command import command
from playlog.cli.failures import USAGE
from playlog.cli.session import Session
from playlog.cli.source_faults import render_faults
from playlog.client import Client
from playlog.problems import ApiError

FAULTY = "invalid_playbook"

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A playbook, in YAML or JSON.")]
Faults = Sequence[Mapping[str, JsonValue]]


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(app)(register)


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
