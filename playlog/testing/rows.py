"""The rows that effects leave in the tables: commands, timers, and messages to other executions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from engine.domain.admit import CommandFact
from engine.domain.effects import (
    CloseCommand,
    Deliver,
    DropTimer,
    Effect,
    IssueCommand,
    OpenIncident,
    SetTimer,
)

LEASE_TOKEN = 1
"""In memory there is one worker, and it claims each command once."""


@dataclass(slots=True)
class CommandRow:
    """One command; `leased_until` and `deadline` are set by its claim."""

    command: IssueCommand
    leased_until: datetime | None = None
    deadline: datetime | None = None

    @property
    def fact(self) -> CommandFact:
        """What admitting an event needs to know of it."""
        return CommandFact(
            execution_id=self.command.execution_id,
            step=self.command.step,
            attempt=self.command.attempt,
            item=self.command.item,
            lease_token=LEASE_TOKEN,
            leased_until=self.leased_until,
            deadline=self.deadline,
        )


@dataclass(slots=True)
class Rows:
    """What the executions of one installation have asked for.

    `open` are the commands that nobody has closed; the others stay, as late results come.
    """

    commands: dict[int, CommandRow] = field(default_factory=dict)
    open: dict[int, CommandRow] = field(default_factory=dict)
    timers: dict[tuple[int, str], datetime] = field(default_factory=dict)
    deliveries: list[Deliver] = field(default_factory=list)
    incidents: list[OpenIncident] = field(default_factory=list)

    def apply(self, effects: Iterable[Effect]) -> None:
        """Carry the effects of one append out, in their order."""
        for effect in effects:
            match effect:
                case IssueCommand():
                    row = CommandRow(effect)
                    self.commands[effect.command_id] = self.open[effect.command_id] = row
                case CloseCommand(command_id):
                    self.open.pop(command_id, None)
                case SetTimer(execution_id, key, due_at):
                    self.timers[execution_id, key] = due_at
                case DropTimer(execution_id, key):
                    self.timers.pop((execution_id, key), None)
                case Deliver():
                    self.deliveries.append(effect)
                case OpenIncident():
                    self.incidents.append(effect)
                case _:
                    pass
