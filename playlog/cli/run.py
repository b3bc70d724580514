"""`playlog run`: register if need be, start, and watch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer
from pydantic import JsonValue
from rich.console import RenderableType

from playlog.answers import Execution, Standing
from playlog.cli.command import command
from playlog.cli.failures import FAILED, OK
from playlog.cli.live import MINOR, print_event
from playlog.cli.live_maps import MapCounts
from playlog.cli.playbooks import FAULTY, faults_of, register_source, registered_text, show_faults
from playlog.cli.session import Session
from playlog.cli.tables import duration, status_text, value_view
from playlog.client import Client
from playlog.problems import ApiError

SOURCES = frozenset({".yaml", ".yml", ".json"})


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(app)(run)


async def run(  # the options of the command
    session: Session,
    playbook: Annotated[str, typer.Argument(metavar="FILE|PATH", help="A file, or a registered path.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="JSON, or else text; may be repeated."),
    ] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show what happens until it ends.")] = False,
    key: Annotated[
        str | None, typer.Option(help="Your own name for it: the same key starts it only once.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0,
            help="How long to watch; implies --watch.",
        ),
    ] = None,
) -> int:
    """Start an execution; a file is registered first. With --watch the exit code tells how it ended."""
    values = read_inputs(inputs or ())
    file = Path(playbook) if is_file(playbook) else None
    source = b"" if file is None else await asyncio.to_thread(file.read_bytes)
    async with session.client() as client:
        path = playbook
        if file is not None:
            try:
                registered = await register_source(client, source)
            except ApiError as error:
                if error.code != FAULTY:
                    raise
                return show_faults(session, file, source, faults_of(error))
            path = registered["path"]
            session.say(registered_text(registered), style="dim")
        started = await client.start(path, values, key=key)
        if watch or seconds is not None:
            return await _watched(session, client, started, seconds)
    session.answer(started, f"execution {started['execution_id']} is {started['status']}")
    session.say(f"look at it with: playlog get {started['execution_id']}", style="dim")
    return OK


def is_file(playbook: str) -> bool:
    """Whether what was given names a file; one that is missing is still meant by its ending."""
    path = Path(playbook)
    return path.suffix in SOURCES or path.is_file()


def read_inputs(given: Sequence[str]) -> dict[str, JsonValue]:
    """Read `name=value` pairs; raises a usage error for one without `=` or a name given twice."""
    values: dict[str, JsonValue] = {}
    for pair in given:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--input")
        if name in values:
            raise typer.BadParameter(f"{name} is given twice", param_hint="--input")
        values[name] = read_value(text)
    return values


def read_value(text: str) -> JsonValue:
    """Return the JSON value of a text, or the text itself where it is no JSON."""
    try:
        value: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value


async def _watched(session: Session, client: Client, started: Standing, seconds: float | None) -> int:
    execution_id = started["execution_id"]
    session.say(f"execution {execution_id}", style="bold")
    try:
        async with asyncio.timeout(seconds):
            ended = await _follow(session, client, execution_id)
    except TimeoutError:
        raise TimeoutError(
            f"execution {execution_id} has not ended within {seconds:g} s; it goes on, and "
            f"`playlog get {execution_id}` shows it"
        ) from None
    session.answer(ended, *_outcome(ended))
    return OK if ended["status"] == "completed" else FAILED


async def _follow(session: Session, client: Client, execution_id: str) -> Execution:
    """Show each event worth it, and return the execution as it ended."""
    if session.json:
        return await client.wait(execution_id)
    counts = MapCounts()
    async for event in client.stream(execution_id):
        if not counts.take(event) and event["event_type"] not in MINOR:
            print_event(session.console, event)
        for line in counts.lines():
            session.console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    return await client.wait(execution_id)


def _outcome(ended: Execution) -> Sequence[RenderableType]:
    line = status_text(ended["status"])
    line.append(f" after {duration(ended['started_at'], ended['ended_at'])}", style="default not bold")
    shown: list[RenderableType] = [line]
    if ended["output"] is not None:
        shown.append(value_view("output", ended["output"]))
    if ended["error"] is not None:
        shown.append(value_view("error", ended["error"]))
    return shown
