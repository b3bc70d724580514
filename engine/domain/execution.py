"""The state of one execution: what its events say so far, without any payload."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from engine.domain.vocabulary import ACTIVE_STEPS, TERMINAL_STATUSES, ExecutionStatus, StepStatus


class Pointer(NamedTuple):
    """Where a value lies in the log: the version of the event that carries it, and its size in bytes."""

    version: int
    bytes: int


class Parent(NamedTuple):
    """The execution and step that started this one."""

    execution_id: int
    step: str
    depth: int


class Waiting(NamedTuple):
    """What a waiting step waits for: a signal of that name, or a moment, until a time-out."""

    event: str | None
    until: datetime | None


@dataclass(slots=True, kw_only=True)
class StepState:
    """One step: where it stands, its current attempt, and where its output or error lies.

    `attempt` counts commands, `failures` the tries used up, `lost` the workers lost in a row. `next`
    holds the targets whose edges went live, when that was decided explicitly.
    """

    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    failures: int = 0
    lost: int = 0
    command_id: int | None = None
    child_id: int | None = None
    waiting: Waiting | None = None
    output: Pointer | None = None
    error: Pointer | None = None
    next: tuple[str, ...] | None = None
    skip_reason: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Due(NamedTuple):
    """One entry of the agenda: something changed and deciding has to look at it."""

    what: str
    name: str = ""


@dataclass(slots=True, kw_only=True)
class Execution:
    """The folded state of a stream. Mutable on purpose: `evolve` changes it in place.

    `commands` and `children` map open ids to their step, `waits` signal names to the steps waiting for
    them, `mailbox` names to signals nobody has consumed yet, oldest first. `agenda` is not stored.
    """

    execution_id: int
    definition_hash: bytes | None = None
    version: int = 0
    last_event_id: int = 0
    recorded_at: datetime | None = None
    phase: ExecutionStatus = ExecutionStatus.PENDING
    path: str | None = None
    playbook_version: int | None = None
    parent: Parent | None = None
    pool: str = "default"
    priority: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    deadline: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    inputs: Pointer | None = None
    output: Pointer | None = None
    error: Pointer | None = None
    reason: str | None = None
    steps: dict[str, StepState] = field(default_factory=dict)
    commands: dict[int, str] = field(default_factory=dict)
    children: dict[int, str] = field(default_factory=dict)
    waits: dict[str, list[str]] = field(default_factory=dict)
    mailbox: dict[str, list[Pointer]] = field(default_factory=dict)
    timers: dict[str, datetime] = field(default_factory=dict)
    active: int = 0
    waiting: int = 0
    agenda: list[Due] = field(default_factory=list)

    @property
    def is_foreign(self) -> bool:
        """Whether another system owns this stream: stored and folded, never decided."""
        return self.definition_hash is None

    @property
    def is_ended(self) -> bool:
        """Whether the terminal event is recorded."""
        return self.phase in TERMINAL_STATUSES

    @property
    def status(self) -> ExecutionStatus:
        """The status readers see: `waiting` when every active step waits for somebody else."""
        if self.phase is ExecutionStatus.RUNNING and self.active and self.active == self.waiting:
            return ExecutionStatus.WAITING
        return self.phase

    def step(self, name: str) -> StepState:
        """The state of a step, pending when nothing is recorded of it."""
        found = self.steps.get(name)
        if found is None:
            found = self.steps[name] = StepState()
        return found

    def status_of(self, name: str) -> StepStatus:
        """The status of a step, without touching the state."""
        found = self.steps.get(name)
        return StepStatus.PENDING if found is None else found.status

    def move(self, name: str, status: StepStatus) -> StepState:
        """Give a step a status and keep the counts of active and waiting steps true."""
        step = self.step(name)
        self.active += (status in ACTIVE_STEPS) - (step.status in ACTIVE_STEPS)
        self.waiting += (status is StepStatus.WAITING) - (step.status is StepStatus.WAITING)
        step.status = status
        return step


def initial(execution_id: int, definition_hash: bytes | None) -> Execution:
    """The state before the first event; without a definition hash the stream is foreign."""
    return Execution(execution_id=execution_id, definition_hash=definition_hash)
