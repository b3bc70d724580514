"""`playlog get`, `list`, `events`, `steps`, `payload` and `signal`."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from pydantic import JsonValue

from playlog.answers import TERMINAL, Standing
from playlog.cli.command import command
from playlog.cli.execution_view import execution_view
from playlog.cli.live import print_event
from playlog.cli.session import Session
from playlog.cli.tables import list_view, steps_view

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of an execution.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    command(app)(get)
    command(app, "list")(list_executions)
    command(app)(events)
    command(app)(steps)
    command(app)(payload)
    command(app)(signal)


async def get(session: Session, execution: IdArgument) -> None:
    """Show an execution: where it stands, what it waits for, its values."""
    async with session.client() as client:
        found = await client.get(execution)
        is_plain = session.json or found["status"] in TERMINAL
        incidents = [] if is_plain else await client.incidents(execution)
    session.answer(found, execution_view(found, incidents))


async def list_executions(
    session: Session,
    status: Annotated[str | None, typer.Option(help="Only of this status, such as failed.")] = None,
    playbook: Annotated[str | None, typer.Option(help="Only of this playbook.")] = None,
    label: Annotated[str | None, typer.Option(help="Only with this label: name or name=value.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on where a page ended.")] = None,
) -> None:
    """List executions, the newest first."""
    async with session.client() as client:
        page = await client.list(status=status, playbook=playbook, label=label, limit=limit, cursor=cursor)
    session.answer(page, list_view(page["items"]))
    if page["next_cursor"]:
        session.say(f"more: --cursor {page['next_cursor']}", style="dim")


async def events(
    session: Session,
    execution: IdArgument,
    after: Annotated[int, typer.Option(min=0, help="Only those after this version.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
) -> None:
    """Show what was recorded of an execution, in order."""
    async with session.client() as client:
        found = await client.events(execution, after_version=after, limit=limit)
    if session.json:
        return session.answer(found)
    for event in found:
        print_event(session.console, event, numbered=True)
    return None


async def steps(session: Session, execution: IdArgument) -> None:
    """Show the steps of an execution, also those that have not begun."""
    async with session.client() as client:
        found = await client.steps(execution)
    session.answer(found, steps_view(found))


async def payload(
    session: Session,
    uri: Annotated[str, typer.Argument(metavar="URI", help="What a reference names: payload:... or map:...")],
) -> None:
    """Show a large value that an output or an event only refers to."""
    async with session.client() as client:
        value = await client.payload(uri)
    session.line(
        value, orjson.OPT_INDENT_2
    )  # to be read or piped on: colours would take longer than the rest


async def signal(
    session: Session,
    execution: IdArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What a step waits for.")],
    data: Annotated[
        str | None, typer.Argument(metavar="JSON", help="What to tell it; the output of the step that waits.")
    ] = None,
) -> None:
    """Send a signal to an execution; one that nobody waits for yet is kept."""
    async with session.client() as client:
        standing = await client.signal(execution, name, read_json(data))
    session.answer(standing, standing_text(standing))


def read_json(text: str | None) -> JsonValue:
    """Return the value of a JSON text, null for none; raises a usage error for anything else."""
    if text is None:
        return None
    try:
        value: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"{error}; text needs its quotes: '\"text\"'") from None
    return value


def standing_text(standing: Standing) -> str:
    """Say where an execution stands after a write."""
    return f"execution {standing['execution_id']} is {standing['status']} at version {standing['version']}"
