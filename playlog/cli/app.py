"""`playlog`: the program with all its commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from engine.runtime import logs
from playlog import __version__
from playlog.cli import executions, operate, playbooks, retention, run, steering, validate
from playlog.cli.command import ApiUrlOption, OutputOption
from playlog.cli.demo import command as demo
from playlog.cli.dev import command as dev
from playlog.cli.session import Output, Session

app = typer.Typer(
    name="playlog",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # the signature of an option's callback
    if wanted:
        sys.stdout.write(f"playlog {__version__}\n")
        raise typer.Exit


@app.callback()
def everywhere(
    context: typer.Context,
    output: OutputOption = None,
    api_url: ApiUrlOption = None,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Run workflows whose whole history is an immutable event log.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, 5 conflict, 124 not in time.
    """
    context.obj = Session(output=output or Output.TABLE, api_url=api_url)


GROUPS = {
    "To begin with": (dev, demo),
    "Playbooks and executions": (run, validate, playbooks, executions, steering),
    "For operators": (operate, retention),
}
"""The commands as the help groups them."""

for title, modules in GROUPS.items():
    for module in modules:
        module.add_to(app)
    for added in app.registered_commands:
        added.rich_help_panel = added.rich_help_panel or title


def main() -> None:
    """Run the command that was typed."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    logs.configure("playlog", level="error")
    app()


if __name__ == "__main__":
    main()
