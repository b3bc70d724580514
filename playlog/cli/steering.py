"""`playlog cancel`, `pause`, `resume` and `retry`."""

from __future__ import annotations

from typing import Annotated

import typer

from playlog.cli.command import command
from playlog.cli.executions import IdArgument, standing_text
from playlog.cli.session import Session

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID|PATH", help="The id of an execution (digits only), or the path of a playbook."
    ),
]
ReasonOption = Annotated[str | None, typer.Option(help="Why; it is recorded.")]
StepOption = Annotated[
    str | None, typer.Option(help="Only if this step is among those that begin again; else nothing is done.")
]
CompensateOption = Annotated[
    bool, typer.Option("--compensate", help="First undo the completed steps that say how.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for each in (cancel, pause, resume, retry):
        command(app)(each)


async def cancel(
    session: Session,
    execution: IdArgument,
    reason: ReasonOption = None,
    *,
    compensate: CompensateOption = False,
) -> None:
    """End an execution at once, or after what it did is undone."""
    async with session.client() as client:
        standing = await client.cancel(execution, reason, compensate=compensate)
    session.answer(standing, standing_text(standing))


async def pause(session: Session, target: TargetArgument, reason: ReasonOption = None) -> None:
    """Hand out no more commands of an execution; or start no more executions of a playbook."""
    if not target.isdigit():
        return await _pause_playbook(session, target, reason, paused=True)
    async with session.client() as client:
        standing = await client.pause(target, reason)
    return session.answer(standing, standing_text(standing))


async def resume(session: Session, target: TargetArgument, reason: ReasonOption = None) -> None:
    """Let a paused execution, or a paused playbook, go on."""
    if not target.isdigit():
        return await _pause_playbook(session, target, reason, paused=False)
    async with session.client() as client:
        standing = await client.resume(target, reason)
    return session.answer(standing, standing_text(standing))


async def retry(
    session: Session, execution: IdArgument, step: StepOption = None, reason: ReasonOption = None
) -> None:
    """Begin again what failed or was cancelled, in the same execution."""
    async with session.client() as client:
        standing = await client.retry(execution, step=step, reason=reason)
    session.answer(standing, standing_text(standing))


async def _pause_playbook(session: Session, path: str, reason: str | None, *, paused: bool) -> None:
    if reason is not None:
        raise typer.BadParameter("only an execution records a reason", param_hint="--reason")
    async with session.client() as client:
        playbook = await client.pause_playbook(path, paused=paused)
    how = "is paused: no execution of it starts" if playbook["paused"] else "may be started"
    session.answer(playbook, f"{playbook['path']} {how}")
