"""`playlog server`, `migrate` and `version`."""

from __future__ import annotations

import runpy
import sys
from typing import Annotated

import typer

from engine.errors import Misconfigured, Unavailable
from engine.runtime.settings import (
    DatabaseSettings,
    InternalApiProcess,
    ProcessSettings,
    ProjectorProcess,
    PublicApiProcess,
    PublisherProcess,
    SchedulerProcess,
    WorkerProcess,
)
from engine.runtime.settings_loading import load
from playlog import __version__
from playlog.cli.command import command
from playlog.cli.dev.layout import PACKAGES, TOKEN_USERS
from playlog.cli.dev.processes import inherited, run_once
from playlog.cli.failures import FAILED, OK
from playlog.cli.session import Session

SETTINGS: dict[str, type[ProcessSettings]] = {
    "internal-api": InternalApiProcess,
    "public-api": PublicApiProcess,
    "publisher": PublisherProcess,
    "projector": ProjectorProcess,
    "scheduler": SchedulerProcess,
    "worker": WorkerProcess,
}
NEEDED = {
    "database_url": "PLAYLOG_DATABASE_URL",
    "nats_url": "PLAYLOG_NATS_URL",
}
"""Settings without a default: only `playlog dev` brings servers of its own."""
STATES = frozenset({"applied", "pending", "edited", "newer"})


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    command(app)(server)
    command(app)(migrate)
    command(app)(version)


def server(
    session: Session,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {', '.join(PACKAGES)}.")],
    *,
    check: Annotated[bool, typer.Option("--check", help="Only check the settings.")] = False,
) -> int:
    """Run one process of the engine, as a cluster does; its settings come from the environment."""
    if role not in PACKAGES:
        raise typer.BadParameter(f"{role!r} is not one of {', '.join(PACKAGES)}", param_hint="ROLE")
    if check:
        _check(role)
        session.answer({"role": role, "ok": True}, f"the settings of {role} are in order")
        return OK
    package = PACKAGES[role]
    sys.argv = [package]
    runpy.run_module(package, run_name="__main__", alter_sys=True)
    return OK


async def migrate(
    session: Session,
    *,
    status: Annotated[bool, typer.Option("--status", help="Only list the migrations.")] = False,
) -> int:
    """Bring the database of PLAYLOG_DATABASE_URL up to date."""
    settings = load(DatabaseSettings)
    if settings.database_url is None and settings.migration_database_url is None:
        raise Misconfigured("PLAYLOG_DATABASE_URL is not set; it names the database to migrate")
    addresses = {
        "PLAYLOG_DATABASE_URL": settings.database_url or "",
        "PLAYLOG_MIGRATION_DATABASE_URL": settings.migration_database_url or "",
    }
    verb = "status" if status else "up"
    code, output = await run_once("sql", verb, environment={**inherited(), **addresses})
    if code not in {OK, FAILED} or (code != OK and not status):
        raise Unavailable(output if code == FAILED else f"{output}; check PLAYLOG_DATABASE_URL")
    lines = output.splitlines()
    names = [line.split()[:2] for line in lines]
    document = [{"state": words[0], "name": words[1]} for words in names if words[0] in STATES]
    session.answer(document, *lines)
    return code


def version(session: Session) -> None:
    """Print the version."""
    session.answer({"version": __version__}, f"playlog {__version__}")


def _check(role: str) -> None:
    """Raise `Misconfigured` with everything that is wrong or missing."""
    faults: list[str] = []
    try:
        settings = load(SETTINGS[role])
    except Misconfigured as error:
        raise Misconfigured(f"the settings of {role}: {error.detail}") from None
    for field, name in NEEDED.items():
        if field in type(settings).model_fields and getattr(settings, field) is None:
            faults.append(f"{name} is not set")
    tokens = ("internal_api_token", "internal_api_token_file")
    if role in TOKEN_USERS and not any(getattr(settings, field) for field in tokens):
        faults.append("PLAYLOG_INTERNAL_API_TOKEN is not set")
    if faults:
        raise Misconfigured(f"the settings of {role}: " + "; ".join(faults))
