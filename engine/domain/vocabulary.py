"""Event types and statuses. Their names are storage format: a golden file in the tests freezes them."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """Every event the engine writes; any other type is foreign and only stored and counted."""

    EXECUTION_STARTED = "execution.started"
    EXECUTION_REOPENED = "execution.reopened"
    EXECUTION_PAUSED = "execution.paused"
    EXECUTION_RESUMED = "execution.resumed"
    EXECUTION_CANCELLING = "execution.cancelling"
    EXECUTION_COMPLETED = "execution.completed"
    EXECUTION_FAILED = "execution.failed"
    EXECUTION_CANCELLED = "execution.cancelled"
    EXECUTION_TIMED_OUT = "execution.timed_out"
    STEP_COMPLETED = "step.completed"
    STEP_FAILED = "step.failed"
    STEP_SKIPPED = "step.skipped"
    COMMAND_ISSUED = "command.issued"
    COMMAND_CLAIMED = "command.claimed"
    COMMAND_COMPLETED = "command.completed"
    COMMAND_FAILED = "command.failed"
    COMMAND_EXPIRED = "command.expired"
    COMMAND_LATE = "command.late"
    COMMAND_CANCELLED = "command.cancelled"
    COMMAND_RELEASED = "command.released"
    MAP_OPENED = "map.opened"
    MAP_CLOSED = "map.closed"
    WAIT_OPENED = "wait.opened"
    WAIT_SATISFIED = "wait.satisfied"
    WAIT_TIMED_OUT = "wait.timed_out"
    SIGNAL_RECEIVED = "signal.received"
    TIMER_SET = "timer.set"
    TIMER_FIRED = "timer.fired"
    CHILD_STARTED = "child.started"
    CHILD_COMPLETED = "child.completed"
    COMPENSATION_STARTED = "compensation.started"
    COMPENSATION_COMPLETED = "compensation.completed"
    COMPENSATION_FAILED = "compensation.failed"
    CONCURRENCY_REJECTED = "concurrency.rejected"


RESERVED_TYPES = frozenset({"execution.forked", "definition.migrated", "payload.externalized"})
RESERVED_PREFIXES = ("incident.", "operator.")


class ExecutionStatus(StrEnum):
    """The status of an execution, as every reader sees it."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class StepStatus(StrEnum):
    """The status of a step; the first six are open, the rest settled."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


TERMINAL_STATUSES = frozenset(
    {
        ExecutionStatus.COMPLETED,
        ExecutionStatus.FAILED,
        ExecutionStatus.CANCELLED,
        ExecutionStatus.TIMED_OUT,
    }
)
ACTIVE_STEPS = frozenset({StepStatus.QUEUED, StepStatus.RUNNING, StepStatus.WAITING, StepStatus.RETRYING})
SETTLED_STEPS = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED})

TERMINAL_EVENTS: dict[EventType, ExecutionStatus] = {
    EventType.EXECUTION_COMPLETED: ExecutionStatus.COMPLETED,
    EventType.EXECUTION_FAILED: ExecutionStatus.FAILED,
    EventType.EXECUTION_CANCELLED: ExecutionStatus.CANCELLED,
    EventType.EXECUTION_TIMED_OUT: ExecutionStatus.TIMED_OUT,
}

FOREIGN_TERMINAL_TYPES: dict[str, ExecutionStatus] = {
    "playbook.completed": ExecutionStatus.COMPLETED,
    "playbook.failed": ExecutionStatus.FAILED,
    "playbook.cancelled": ExecutionStatus.CANCELLED,
    "playbook_cancelled": ExecutionStatus.CANCELLED,
    "execution.completed": ExecutionStatus.COMPLETED,
    "execution.failed": ExecutionStatus.FAILED,
    "execution.cancelled": ExecutionStatus.CANCELLED,
}

EVENT_STATUS: dict[EventType, str] = {
    EventType.EXECUTION_STARTED: "RUNNING",
    EventType.EXECUTION_REOPENED: "RUNNING",
    EventType.EXECUTION_PAUSED: "PAUSED",
    EventType.EXECUTION_RESUMED: "RUNNING",
    EventType.EXECUTION_CANCELLING: "CANCELLING",
    EventType.EXECUTION_COMPLETED: "COMPLETED",
    EventType.EXECUTION_FAILED: "FAILED",
    EventType.EXECUTION_CANCELLED: "CANCELLED",
    EventType.EXECUTION_TIMED_OUT: "TIMED_OUT",
    EventType.STEP_COMPLETED: "COMPLETED",
    EventType.STEP_FAILED: "FAILED",
    EventType.STEP_SKIPPED: "SKIPPED",
    EventType.COMMAND_ISSUED: "PENDING",
    EventType.COMMAND_CLAIMED: "RUNNING",
    EventType.COMMAND_COMPLETED: "COMPLETED",
    EventType.COMMAND_FAILED: "FAILED",
    EventType.COMMAND_EXPIRED: "FAILED",
    EventType.COMMAND_LATE: "LATE",
    EventType.COMMAND_CANCELLED: "CANCELLED",
    EventType.COMMAND_RELEASED: "PENDING",
    EventType.MAP_OPENED: "RUNNING",
    EventType.MAP_CLOSED: "COMPLETED",
    EventType.WAIT_OPENED: "WAITING",
    EventType.WAIT_SATISFIED: "COMPLETED",
    EventType.WAIT_TIMED_OUT: "TIMED_OUT",
    EventType.SIGNAL_RECEIVED: "COMPLETED",
    EventType.TIMER_SET: "WAITING",
    EventType.TIMER_FIRED: "COMPLETED",
    EventType.CHILD_STARTED: "RUNNING",
    EventType.CHILD_COMPLETED: "COMPLETED",
    EventType.COMPENSATION_STARTED: "RUNNING",
    EventType.COMPENSATION_COMPLETED: "COMPLETED",
    EventType.COMPENSATION_FAILED: "FAILED",
    EventType.CONCURRENCY_REJECTED: "FAILED",
}

_TYPES = {member.value: member for member in EventType}


def known_type(name: str) -> EventType | None:
    """The engine's own type of that name, or None when it is foreign."""
    return _TYPES.get(name)


def is_reserved(name: str) -> bool:
    """Whether the name is kept for a later build and so refused from outside."""
    return name in RESERVED_TYPES or name.startswith(RESERVED_PREFIXES)
