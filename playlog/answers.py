"""What the public API answers, as types: ids are decimal strings, times RFC 3339 in UTC."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypedDict

from pydantic import JsonValue

Status: TypeAlias = Literal[
    "pending",
    "running",
    "waiting",
    "paused",
    "compensating",
    "completed",
    "failed",
    "cancelled",
    "timed_out",
]

TERMINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled", "timed_out"})
"""The statuses in which an execution has ended."""


class Registered(TypedDict):
    """A version of a playbook."""

    path: str
    version: int
    hash: str


class Playbook(Registered):
    """A playbook as it stands; a paused one starts no executions."""

    paused: bool
    latest_version: int


class Standing(TypedDict):
    """Where an execution stands after a write."""

    execution_id: str
    version: int
    status: Status


class Items(TypedDict):
    """How far maps are: `open` items are being tried, `left` have not begun; others were cut short."""

    total: int
    completed: int
    failed: int
    open: int
    left: int


class Progress(TypedDict):
    """How many steps there are, and where they stand; `items` are those of all maps together."""

    total: int
    completed: int
    failed: int
    running: int
    skipped: int
    items: Items | None


class Waiting(TypedDict):
    """What an execution waits for, since and until when, and who has the next move (`signal:approved`)."""

    what: str
    step: str | None
    item: int | None
    undoing: bool
    attempt: int | None
    since: str | None
    until: str | None
    not_before: str | None
    owner: str
    items: Items | None


class Incident(TypedDict):
    """What stands in the way of an execution, and what a person can do about it."""

    kind: str
    subject: str
    detail: str
    remedy: str
    opened_at: str
    seen_at: str


class IncidentList(TypedDict):
    """Open incidents, oldest first."""

    items: list[Incident]


class Execution(TypedDict):
    """An execution as of its version."""

    execution_id: str
    playbook: str | None
    playbook_version: int | None
    definition_hash: str | None
    status: Status
    version: int
    inputs: JsonValue
    output: JsonValue
    error: JsonValue
    labels: dict[str, str]
    started_at: str | None
    ended_at: str | None
    parent: JsonValue
    current_steps: list[str]
    progress: Progress
    waiting_for: list[Waiting]


class Listed(TypedDict):
    """An execution in a list."""

    execution_id: str
    playbook: str | None
    status: Status
    version: int
    started_at: str | None
    ended_at: str | None


class ListPage(TypedDict):
    """A page of executions and the cursor of the next one."""

    items: list[Listed]
    next_cursor: str | None


class Step(TypedDict):
    """A step of an execution, also one that has not begun."""

    step: str
    status: str
    attempts: int
    failures: int
    lost: int
    items: Items | None
    skip_reason: str | None
    started_at: str | None
    ended_at: str | None


class StepList(TypedDict):
    """All steps of an execution."""

    items: list[Step]


class Event(TypedDict):
    """A recorded event."""

    version: int
    event_id: str
    event_type: str
    step: str | None
    attempt: int | None
    item: int | None
    status: str
    payload: JsonValue
    meta: JsonValue
    recorded_at: str


class EventPage(TypedDict):
    """Events in version order; `next_after_version` leads on while there are more."""

    items: list[Event]
    next_after_version: int | None


class LogLine(TypedDict):
    """A line that a tool wrote; `id` leads on after it."""

    id: str
    step: str
    attempt: int
    command_id: str
    seq: int
    stream: str
    line: str
    logged_at: str


class LogPage(TypedDict):
    """Lines in the order in which they arrived; `next_after` leads on while there may be more."""

    items: list[LogLine]
    next_after: str | None
