"""`playlog partitions`, `purge`, `hold` and `holds`: what is kept of the log, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated
from urllib.parse import quote

import orjson
import typer
from pydantic import JsonValue
from rich.console import RenderableType
from rich.text import Text

from engine.errors import Misconfigured, Unavailable
from engine.runtime.settings import DatabaseSettings, WorkerSettings
from engine.runtime.settings_loading import load
from playlog.cli.command import command
from playlog.cli.dev import record
from playlog.cli.dev.processes import inherited, run_once
from playlog.cli.failures import OK, USAGE
from playlog.cli.session import Session
from playlog.cli.tables import local_time, new_table
from playlog.operators import Document, ask

DIRECT = "scheduler.purge"
"""What purges straight in the database, in its own process: this program reaches the log by HTTP only."""

Reason = Annotated[str | None, typer.Option(help="Why; it stands beside everything that it keeps.")]
Moment = Annotated[str | None, typer.Option(metavar="TIME", help="As 2026-01-31T09:30:00Z.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    command(app)(partitions)
    command(app)(purge)
    command(app)(hold)
    command(app)(holds)


async def partitions(session: Session) -> None:
    """List the partitions of the log, its payloads and step logs, and what is seen to keep them."""
    found = await _pages("/partitions", "partitions")
    table = new_table("partition", "from", "to", "rows>", "MiB>", "note")
    for each in found:
        begin, end = (local_time(str(each[name]))[:10] for name in ("low_at", "high_at"))
        size = f"{_number(each, 'bytes') / 2**20:.1f}"
        note = "; ".join(map(str, _items(each, "held")))
        table.add_row(Text(str(each["name"])), begin, end, str(each["rows_estimate"]), size, Text(note))
    session.answer(found, table)


async def purge(
    session: Session,
    *,
    event_days: Annotated[int, typer.Option(help="Keep events for so many days; 0 for ever.")] = 0,
    command_days: Annotated[int, typer.Option(help="The same for closed commands.")] = 7,
    dead_days: Annotated[int, typer.Option(help="The same for dead outbox messages.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    direct: Annotated[
        bool, typer.Option("--direct", help="Without the internal API, in PLAYLOG_DATABASE_URL.")
    ] = False,
) -> None:
    """Remove what is older than its retention; the log goes by whole months that nobody needs any more."""
    policy = {
        "event_retention_days": event_days,
        "command_retention_days": command_days,
        "dead_retention_days": dead_days,
        "dry_run": dry_run,
    }
    done = await _directly(policy) if direct else await _ask("POST", "/cleanup/purge", body=policy)
    session.answer(done, *_told(done))


async def hold(
    session: Session,
    name: Annotated[str, typer.Argument(help="The name of the hold.")],
    *,
    reason: Reason = None,
    since: Moment = None,
    until: Moment = None,
    lift: Annotated[bool, typer.Option("--lift", help="End the hold of that name.")] = False,
) -> None:
    """Keep executions started between two times, or all, from being purged."""
    if lift:
        session.answer(await _ask("DELETE", f"/retention/holds/{quote(name, safe='')}"), f"{name} is lifted")
        return
    if reason is None:
        raise typer.BadParameter("say why", param_hint="--reason")
    times = {place: moment for place, moment in (("from", since), ("to", until)) if moment is not None}
    placed = await _ask("POST", "/retention/holds", body={"name": name, "reason": reason, **times})
    session.answer(placed, f"{name} holds")
    if gone := _items(placed, "purged"):
        session.say(f"purged already: {', '.join(map(str, gone))}", style="yellow")


async def holds(session: Session) -> None:
    """List the holds."""
    found = await _pages("/retention/holds", "holds")
    table = new_table("hold", "from id", "to id", "note")
    for each in found:
        table.add_row(Text(str(each["name"])), str(each["low_id"]), str(each["high_id"]), str(each["reason"]))
    session.answer(found, table)


async def _directly(policy: Mapping[str, int | bool]) -> Document:
    if load(DatabaseSettings).database_url is None:
        raise Misconfigured("PLAYLOG_DATABASE_URL is not set; it names the database to purge")
    arguments = [word for name, value in policy.items() for word in _option(name, value)]
    code, output = await run_once(DIRECT, *arguments, environment=inherited())
    if code == OK:
        document: Document = orjson.loads(output.splitlines()[-1])
        return document
    raise Misconfigured(output) if code == USAGE else Unavailable(output)


def _option(name: str, value: int | bool) -> list[str]:  # noqa: FBT001  # the value of an option
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [option] if value else []
    return [f"{option}={value}"]


def _told(done: Document) -> Iterator[RenderableType]:
    would = "would go" if done["dry_run"] else "gone"
    for name, number in done.items():
        if isinstance(number, int) and not isinstance(number, bool) and number:
            what = name.removesuffix("_purged").removesuffix("_dropped").replace("_", " ")
            yield f"{would}: {number} {what}"
    for each in _items(done, "held"):
        if isinstance(each, dict):
            yield f"kept: {each['partition']}: {each['reason']}"
    if done["dry_run"]:
        yield "a dry run: nothing was changed"


async def _pages(path: str, name: str) -> list[Document]:
    found: list[Document] = []
    query: dict[str, str] = {}
    while True:
        page = await _ask("GET", path, query=query)
        found += [each for each in _items(page, name) if isinstance(each, dict)]
        if page["next_cursor"] is None:
            return found
        query = {"cursor": str(page["next_cursor"])}


async def _ask(
    method: str, path: str, *, query: Mapping[str, str] | None = None, body: object = None
) -> Document:
    """Ask the internal API that was named, else the one that runs in this directory."""
    settings = load(WorkerSettings)
    running = record.read(record.HOME)
    url = settings.internal_api_url
    if running is not None and "internal_api_url" not in settings.model_fields_set:
        url = running.internal_api_url
    given = settings.internal_api_token.get_secret_value() if settings.internal_api_token else ""
    return await ask(url.rstrip("/"), given.partition(",")[0].strip(), method, path, query=query, body=body)


def _items(document: Document, name: str) -> list[JsonValue]:
    items = document[name]
    return items if isinstance(items, list) else []


def _number(document: Document, name: str) -> float:
    number = document[name]
    return number if isinstance(number, int | float) else 0.0
