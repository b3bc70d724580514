"""What few appends write: holds and releases of commands, moved deadlines, incidents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from engine.domain.effects import HoldCommands, MoveDeadline, OpenIncident, ReleaseCommands
from engine.write.incidents import report
from engine.write.requests import Committed
from sql import queries

SQL = queries.load("append")


@dataclass(slots=True)
class Seldom:
    """Such effects of one append, the last word for each; `paused` says whose commands are to be held."""

    paused: dict[int, bool] = field(default_factory=dict)
    deadlines: dict[int, datetime] = field(default_factory=dict)
    incidents: dict[tuple[str, str], OpenIncident] = field(default_factory=dict)

    def take(self, effect: HoldCommands | ReleaseCommands | MoveDeadline | OpenIncident) -> None:
        """Keep an effect; it replaces an earlier one of its kind for the same thing."""
        match effect:
            case HoldCommands(execution_id):
                self.paused[execution_id] = True
            case ReleaseCommands(execution_id):
                self.paused[execution_id] = False
            case MoveDeadline(execution_id, deadline):
                self.deadlines[execution_id] = deadline
            case OpenIncident(kind=kind, subject=subject):
                self.incidents[kind, subject] = effect


async def move_deadlines(connection: asyncpg.Connection, seldom: Seldom) -> None:
    """Give locked heads their new deadlines."""
    if seldom.deadlines:
        await connection.execute(SQL.move_deadlines, *zip(*seldom.deadlines.items(), strict=True))


async def hold_commands(
    connection: asyncpg.Connection,
    seldom: Seldom,
    closed: Sequence[int],
    granted: Sequence[int],
    committed: Committed,
) -> None:
    """Hold or release the commands of executions, in one order of locks with all that are closed or granted.

    This comes after the append's own commands: those of a paused execution are held with the others.
    """
    paused = zip(*seldom.paused.items(), strict=True)
    for row in await connection.fetch(SQL.hold_commands, closed, *paused, granted):
        if row["is_released"]:
            committed.pools[row["pool"]] = committed.pools.get(row["pool"], 0) + 1


async def open_incidents(connection: asyncpg.Connection, seldom: Seldom) -> None:
    """Open incidents; those that are open already are seen again."""
    found = seldom.incidents.values()
    await report(connection, [(each.kind, each.execution_id, each.subject, each.detail) for each in found])
