"""How a function becomes a command: the options that all have, errors worded, an exit code."""

from __future__ import annotations

import asyncio
import functools
import inspect
import typing
from collections.abc import Awaitable, Callable
from typing import Annotated, Concatenate, ParamSpec, TypeAlias, cast

import typer

from playlog.cli.failures import EXPECTED, INTERRUPTED, OK, explain
from playlog.cli.session import Output, Session

P = ParamSpec("P")

Outcome: TypeAlias = Awaitable[int | None] | int | None
Run: TypeAlias = Callable[Concatenate[Session, P], Outcome]

OutputOption = Annotated[
    Output | None, typer.Option("--output", "-o", help="Tables for people, or JSON for programs.")
]
ApiUrlOption = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        metavar="URL",
        help="The public API. Default: PLAYLOG_API_URL, else what `dev` runs here.",
    ),
]


def command(app: typer.Typer, name: str | None = None) -> Callable[[Run[P]], Run[P]]:
    """Register the function that follows: it gets a `Session` first and returns its exit code or None.

    `--output` and `--api-url` may stand before the command's name or behind it.
    """

    def register(function: Run[P]) -> Run[P]:
        app.command(name or function.__name__.replace("_", "-"))(_entry(function))
        return function

    return register


def _entry(function: Run[P]) -> Callable[..., None]:
    hints = typing.get_type_hints(function, include_extras=True)

    run = cast("Callable[..., Outcome]", function)

    def entry(context: typer.Context, **arguments: object) -> None:
        said = context.find_root().obj or Session()
        session = Session(
            output=cast("Output | None", arguments.pop("output")) or said.output,
            api_url=cast("str | None", arguments.pop("api_url")) or said.api_url,
        )
        raise typer.Exit(finished(session, functools.partial(run, session, **arguments)))

    signature = inspect.signature(function)
    own = [each.replace(annotation=hints[each.name]) for each in signature.parameters.values()][1:]
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter("output", kind, default=None, annotation=OutputOption),
        inspect.Parameter("api_url", kind, default=None, annotation=ApiUrlOption),
    ]
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *own, *added]
    entry.__doc__ = function.__doc__
    entry.__annotations__ = {each.name: each.annotation for each in parameters}
    entry.__dict__["__signature__"] = signature.replace(parameters=parameters)
    return entry


def finished(session: Session, run: Callable[[], Outcome]) -> int:
    """Run a command to its end and return its exit code; an expected error becomes one line on stderr."""
    try:
        outcome = run()
        if inspect.isawaitable(outcome):
            outcome = asyncio.run(_awaited(outcome))
    except KeyboardInterrupt:
        session.errors.print("playlog: interrupted; what was started goes on", style="yellow")
        return INTERRUPTED
    except EXPECTED as error:
        failure = explain(error)
        session.errors.print(f"playlog: {failure.text}", style="red", markup=False, soft_wrap=True)
        return failure.code
    return OK if outcome is None else outcome


async def _awaited(outcome: Awaitable[int | None]) -> int | None:
    return await outcome
