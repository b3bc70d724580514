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
    HoldCommands,
    IssueCommand,
    OpenIncident,
    ReleaseCommands,
    SetTimer,
)

LEASE_TOKEN = 1
"""In memory there is one worker, and it claims each command once."""


@dataclass(slots=True)
class CommandRow:
    """One command; `leased_until` and `deadline` are set by its claim."""

    command: IssueCommand
    held: bool = False
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
                case SetTimer(execution_id, key, due_at):
                    self.timers[execution_id, key] = due_at
                case DropTimer(execution_id, key):
                    self.timers.pop((execution_id, key), None)
                case Deliver():
                    self.deliveries.append(effect)
                case OpenIncident():
                    self.incidents.append(effect)
                case _:
                    self._apply_to_commands(effect)

    def _apply_to_commands(self, effect: Effect) -> None:
        match effect:
            case IssueCommand():
                row = CommandRow(effect, effect.held)
                self.commands[effect.command_id] = self.open[effect.command_id] = row
            case CloseCommand(command_id):
                self.open.pop(command_id, None)
            case HoldCommands(execution_id):
                self._hold(execution_id, held=True)
            case ReleaseCommands(execution_id):
                self._hold(execution_id, held=False)
            case _:
                pass

    def _hold(self, execution_id: int, *, held: bool) -> None:
        """Hold or release the commands that no worker has claimed."""
        for row in self.open.values():
            if row.command.execution_id == execution_id and row.deadline is None:
                row.held = held
