"""What a decision does besides recording events; each effect becomes rows of the same transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.domain.definition import Strategy

EXECUTION_TIMER = "execution"
"""The key of the timer at an execution's deadline; those of steps are `<step>:<one of STEP_TIMERS>`."""

STEP_TIMERS = ("wait", "deadline", "retry")


@dataclass(frozen=True, slots=True)
class PermitWanted:
    """What a command needs before it is handed out: one of the `limit` permits of a key."""

    key: str
    limit: int
    strategy: Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCommand:
    """One step attempt for a worker; `input` is JSON, `timeout` seconds from its claim.

    `handles` is a JSON list of the places in the input where a reference stands for its payload, `deferred`
    of those where an expression stands that the worker evaluates. A command that is `held` is not handed out
    before it is released.
    """

    execution_id: int
    command_id: int
    step: str
    attempt: int
    tool: str
    pool: str
    priority: int
    input: bytes
    timeout: float
    available_at: datetime
    handles: bytes | None = None
    deferred: bytes | None = None
    traceparent: str | None = None
    item: int | None = None
    held: bool = False
    permit: PermitWanted | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class CloseCommand:
    """The command is settled, expired or cancelled: nobody may claim or extend it any more."""

    command_id: int


@dataclass(frozen=True, slots=True)
class SetTimer:
    """At `due_at` the scheduler appends `timer.fired` with this key."""

    execution_id: int
    key: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class DropTimer:
    """The timer has fired or is no longer wanted."""

    execution_id: int
    key: str


@dataclass(frozen=True, slots=True)
class MoveDeadline:
    """The execution's deadline is another one than at its start."""

    execution_id: int
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """A message to an execution: `start`, `child_ended`, `cancel`, or `withdraw` for a command of its."""

    target: int
    kind: str
    event_id: int
    payload: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncident:
    """Something that an operator must see; one that is open already is seen again."""

    kind: str
    execution_id: int
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class HoldCommands:
    """Nobody may claim the execution's waiting commands until they are released."""

    execution_id: int


@dataclass(frozen=True, slots=True)
class ReleaseCommands:
    """The execution's held commands wait for workers again."""

    execution_id: int


Effect = (
    IssueCommand
    | CloseCommand
    | SetTimer
    | DropTimer
    | MoveDeadline
    | Deliver
    | OpenIncident
    | HoldCommands
    | ReleaseCommands
)
