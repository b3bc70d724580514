"""The state of one execution: what its events say so far, without any payload."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Self

from engine.domain.vocabulary import ACTIVE_STEPS, TERMINAL_STATUSES, ExecutionStatus, StepStatus


class Pointer(NamedTuple):
    """Where a value lies in the log: the version of the event that carries it, and its size in bytes."""

    version: int
    bytes: int


class Parent(NamedTuple):
    """The execution and step that started this one, for an item of its map or for itself."""

    execution_id: int
    step: str
    depth: int
    item: int | None = None


class Slot(NamedTuple):
    """What attempts are made for: a step, one item of its map, or the undoing of what it did."""

    step: str
    item: int | None = None
    undoing: bool = False

    def __str__(self) -> str:
        if self.undoing:
            return f"{self.step}!"
        return self.step if self.item is None else f"{self.step}[{self.item}]"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `str`."""
        step, _, item = text.rstrip("]!").partition("[")
        return cls(step, int(item) if item else None, text.endswith("!"))


class Waiting(NamedTuple):
    """What a waiting step waits for: a signal of that name, or a moment.

    `until` is that moment, or the one at which the wait times out.
    """

    event: str | None
    until: datetime | None
    times_out: bool = False


@dataclass(slots=True, kw_only=True)
class Unit:
    """What is tried until it succeeds or is given up, in attempts by workers or children.

    `attempt` counts those begun, `failures` the tries used up, `lost` the workers lost in a row,
    `iteration` the rounds of a `repeat`. `claimed` says that a worker has had the open command for a while,
    `idempotency_key` is what the step's own expression gave.
    `error` is that of the last failure. While something is open, `since` says since when it is as it is
    (None: since its step began): a command that waits for a worker of `pool` (None: the execution's own),
    from `not_before` on, or one that is claimed, `until` the end of its attempt.
    """

    attempt: int = 0
    failures: int = 0
    lost: int = 0
    iteration: int = 0
    command_id: int | None = None
    child_id: int | None = None
    claimed: bool = False
    error: Pointer | None = None
    idempotency_key: str | None = None
    since: datetime | None = None
    not_before: datetime | None = None
    until: datetime | None = None
    pool: str | None = None

    def close(self) -> None:
        """Nothing of it is open any more; what is counted stays."""
        self.command_id = None
        self.claimed = False
        self.since = self.not_before = self.until = None
        self.pool = None


@dataclass(slots=True, kw_only=True)
class MapState:
    """A step's map: its items lie in the log; those from `next` on have not begun.

    `open` holds the items that are being tried, `failed` has a bit for each that was given up, `dropped`
    counts those that the end of the step has cut short; every other one below `next` has succeeded. `bytes`
    is the size of the outputs so far, `apart` that of what they refer to, `error_bytes` that of the errors.
    """

    items: Pointer
    total: int
    next: int = 0
    failed: int = 0
    dropped: int = 0
    bytes: int = 0
    apart: int = 0
    error_bytes: int = 0
    open: dict[int, Unit] = field(default_factory=dict)

    @property
    def failures(self) -> int:
        """How many items were given up."""
        return self.failed.bit_count()

    @property
    def successes(self) -> int:
        """How many items have succeeded."""
        return self.next - len(self.open) - self.failures - self.dropped

    def give_up(self, item: int) -> None:
        """An item has failed for good."""
        self.open.pop(item, None)
        self.failed |= 1 << item

    def drop(self) -> None:
        """Nobody waits any more for the items that are being tried."""
        self.dropped += len(self.open)
        self.open.clear()

    def blame(self, item: int) -> None:
        """One of the dropped items is why the others were: it has failed."""
        self.dropped -= 1
        self.failed |= 1 << item


@dataclass(slots=True, kw_only=True)
class StepState(Unit):
    """One step: where it stands, its own attempts or those of its items, and where its output lies.

    `next` holds the targets whose edges went live, when that was decided explicitly. `settled` is the
    version at which it completed, failed or was skipped, `visits` how often it has begun, `handled` how a
    failure was answered. `undo` are the attempts to compensate it while they go on, `undone` how that ended.
    `done` are the visits on a cycle that are to be undone, oldest first.
    """

    status: StepStatus = StepStatus.PENDING
    waiting: Waiting | None = None
    map: MapState | None = None
    output: Pointer | None = None
    next: tuple[str, ...] | None = None
    skip_reason: str | None = None
    handled: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    settled: int = 0
    visits: int = 0
    undo: Unit | None = None
    undone: str | None = None
    done: list[Done] = field(default_factory=list)

    @property
    def begins_again(self) -> bool:
        """Whether a retry of the execution begins it again: cancelled, or failed with no answer to that."""
        failed = self.status is StepStatus.FAILED and not self.handled
        return failed or self.status is StepStatus.CANCELLED

    def as_read(self) -> StepState:
        """What expressions can read of it, to be kept."""
        return StepState(status=self.status, output=self.output, error=self.error, map=self.map)


class Done(NamedTuple):
    """A completed visit of a step on a cycle: the version of its end, and `steps` that undoing it reads."""

    version: int
    visit: int
    steps: dict[str, StepState]


class Ending(NamedTuple):
    """How an execution will end once its steps are compensated; `error` lies in the log."""

    status: ExecutionStatus
    error: Pointer | None
    reason: str | None


class Due(NamedTuple):
    """One entry of the agenda: something changed and deciding has to look at it.

    `name` is a slot, a signal or a timer, as `what` says.
    """

    what: str
    name: str = ""


@dataclass(slots=True, kw_only=True)
class Execution:
    """The folded state of a stream. Mutable on purpose: `evolve` changes it in place.

    `commands` and `children` map open ids to their slot, `waits` signal names to the steps waiting for
    them, `mailbox` names to signals nobody has consumed yet, oldest first. `ending` is set while steps are
    compensated. `agenda` is not stored.
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
    commands: dict[int, Slot] = field(default_factory=dict)
    children: dict[int, Slot] = field(default_factory=dict)
    waits: dict[str, list[str]] = field(default_factory=dict)
    mailbox: dict[str, list[Pointer]] = field(default_factory=dict)
    timers: dict[str, datetime] = field(default_factory=dict)
    active: int = 0
    waiting: int = 0
    paused: bool = False
    paused_at: datetime | None = None
    ending: Ending | None = None
    compensation: str | None = None
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
        if self.phase is not ExecutionStatus.RUNNING:
            return self.phase
        if self.paused:
            return ExecutionStatus.PAUSED
        return ExecutionStatus.WAITING if self.active and self.active == self.waiting else self.phase

    @property
    def signals_kept(self) -> int:
        """How many signals nobody has consumed yet."""
        return sum(len(queue) for queue in self.mailbox.values())

    def step(self, name: str) -> StepState:
        """The state of a step, pending when nothing is recorded of it."""
        found = self.steps.get(name)
        if found is None:
            found = self.steps[name] = StepState()
        return found

    def unit(self, slot: Slot) -> Unit:
        """The attempts of a slot; an item begins with its first one. Raises `LookupError` for no such map."""
        step = self.step(slot.step)
        if slot.undoing:
            step.undo = step.undo or Unit()
            return step.undo
        if slot.item is None:
            return step
        if step.map is None:
            raise LookupError(f"the step {slot.step} has no map")
        found = step.map.open.get(slot.item)
        if found is None:
            found = step.map.open[slot.item] = Unit()
            step.map.next = max(step.map.next, slot.item + 1)
        return found

    def tried(self, slot: Slot) -> Unit:
        """The attempts of a slot so far, without touching the state."""
        step = self.steps.get(slot.step)
        found: Unit | None = step
        if step is not None and slot.undoing:
            found = step.undo
        elif step is not None and slot.item is not None:
            found = None if step.map is None else step.map.open.get(slot.item)
        return Unit() if found is None else found

    def open_slots(self, name: str) -> list[Slot]:
        """The step and those of its items that are being tried."""
        step = self.steps.get(name)
        items = () if step is None or step.map is None else step.map.open
        return [Slot(name), *(Slot(name, item) for item in items)]

    def revisit(self, name: str) -> None:
        """Forget the last visit of a step on a cycle; what is counted goes on, and what is to be undone."""
        last = self.steps[name]
        self.steps[name] = StepState(visits=last.visits + 1, attempt=last.attempt, done=last.done)

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
