"""`playlog dev`."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.markup import escape
from rich.text import Text

from engine.runtime.settings import MEMORY
from engine.runtime.settings_loading import load
from playlog.cli.command import command
from playlog.cli.dev import engine, record
from playlog.cli.dev.engine import Engine, Voices, kill
from playlog.cli.dev.layout import DevSettings, Wanted
from playlog.cli.dev.lines import WIDTH, LinePrinter
from playlog.cli.dev.processes import Supervised
from playlog.cli.dev.signals import until_signal
from playlog.cli.failures import OK
from playlog.cli.session import Session


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(app)(dev)


async def dev(
    session: Session,
    home: Annotated[Path, typer.Option(help="Where the data is kept.")] = record.HOME,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the public API. Default: 8080 or above.")
    ] = None,
    internal_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the internal API. Default: 8081 or above.")
    ] = None,
    http_allow: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Let the http tool reach this, such as 127.0.0.1:8099."),
    ] = None,
) -> int:
    """Run everything here: PostgreSQL, NATS and all processes, until Ctrl-C.

    PLAYLOG_DATABASE_URL and PLAYLOG_NATS_URL name servers to use instead of own ones. With
    PLAYLOG_NATS_URL=memory there is no NATS, and one process plays every role.
    """
    wanted = Wanted(
        home=home,
        tasks_path=Path.cwd(),
        public_port=port,
        internal_port=internal_port,
        http_allow=tuple(http_allow or ()),
    )
    say = partial(_say, session)
    printer = LinePrinter(session.console, raw=session.json)
    voices = Voices(say=say, emit=printer)
    processes: dict[str, Supervised] = {}

    async def serve() -> int:
        async with engine.running(wanted, load(DevSettings), voices, processes) as started:
            _present(session, started)
            printer.starting = False
            await asyncio.Event().wait()
        return OK

    await until_signal(
        serve(),
        stopping=lambda: say("stopping; Ctrl-C again ends it at once"),
        hurry=lambda: kill(processes.values()),
    )
    say("stopped")
    return OK


def _say(session: Session, text: str) -> None:
    if not session.json:
        session.console.print(Text.assemble((f"{'playlog':<{WIDTH}} ", "bold"), text), soft_wrap=True)


def _present(session: Session, started: Engine) -> None:
    if session.json:
        session.line(_document(started))
        return
    for line in _view(started):
        session.console.print(line, soft_wrap=True)


def _document(started: Engine) -> dict[str, object]:
    return {
        "public_api_url": started.layout.public_url,
        "internal_api_url": started.layout.internal_url,
        "health_urls": started.health_urls,
        "pids": started.pids,
    }


def _view(started: Engine) -> list[str]:
    title = f"[bold green]ready[/] after {started.seconds:.1f} s; Ctrl-C stops it, the data stays"
    lines = [f"  [bold]{name:<14}[/]{escape(address)}" for name, address in _addresses(started)]
    return ["", title, "", *lines, "", "  next, in this folder: playlog run FILE --watch", ""]


def _addresses(started: Engine) -> list[tuple[str, str]]:
    health = started.layout.health_ports
    return [
        ("public API", f"{started.layout.public_url}/api/v1"),
        ("internal API", f"{started.layout.internal_url}/api/internal"),
        ("PostgreSQL", without_password(started.servers.database_url)),
        ("NATS", _nats(started.servers.nats_url)),
        ("health ports", ", ".join(f"{role} {port}" for role, port in health.items())),
        ("data", f"{started.home}{_migrated(started.migrated)}"),
    ]


def _nats(url: str) -> str:
    return "none; one process plays every role" if url == MEMORY else without_password(url)


def _migrated(names: list[str]) -> str:
    """What was done to the database, if anything was."""
    return f", {len(names)} migration{'' if len(names) == 1 else 's'} applied" if names else ""


def without_password(url: str) -> str:
    """The URL without the password in it."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:***@{place}").geturl()
