"""Every kind of incident: what it means, what a person can do, and when it is resolved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class IncidentKind(StrEnum):
    """What is stuck or broken."""

    POOL_WITHOUT_WORKERS = "pool_without_workers"
    TOOL_WITHOUT_WORKERS = "tool_without_workers"
    STALLED = "stalled"
    UNDECIDABLE = "undecidable"
    FAILING_DELIVERY = "failing_delivery"
    COMPENSATION_FAILED = "compensation_failed"
    POISON_EXECUTION = "poison_execution"
    UNREADABLE_MESSAGE = "unreadable_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What operators are told of a kind; `subject` is what there is one open incident for."""

    subject: str
    meaning: str
    remedy: str
    resolved: str


CATALOG: dict[IncidentKind, Entry] = {
    IncidentKind.POOL_WITHOUT_WORKERS: Entry(
        subject="the pool",
        meaning="Commands of the pool are due for longer than `PLAYLOG_POOL_PATIENCE`, and no worker of"
        " it has sent a heartbeat within a minute.",
        remedy="Start workers with `PLAYLOG_POOL` set to that pool. If its name is a typo, correct"
        " `pool` in the playbook, register it and cancel the executions of the old version.",
        resolved="once a worker of the pool sends heartbeats, or none of its commands is overdue",
    ),
    IncidentKind.TOOL_WITHOUT_WORKERS: Entry(
        subject="the pool and the tool, as `pool/tool`",
        meaning="Commands of the pool are due for longer than `PLAYLOG_POOL_PATIENCE`, and every live"
        " worker of it says in its heartbeats that it takes only other tools.",
        remedy="Start workers of the pool that take the tool, or give the step another `pool`.",
        resolved="once a live worker of the pool takes the tool, or none of those commands is overdue",
    ),
    IncidentKind.STALLED: Entry(
        subject="the execution",
        meaning="The execution is live, but has no open command, timer, child or message on its way:"
        " nothing but its deadline will ever move it on. It is a fault of the engine, or rows were"
        " removed by hand.",
        remedy="Read what happened with `playlog events`, cancel the execution, start it again, and"
        " report it.",
        resolved="once the execution records anything, ends or is purged",
    ),
    IncidentKind.UNDECIDABLE: Entry(
        subject="the execution",
        meaning="An append to the execution fails each time: its definition cannot be loaded, its log"
        " cannot be folded, or deciding raises an error. Nothing of it is recorded; other"
        " executions go on.",
        remedy="Roll out a build that can read it: what is due is tried again every 30 seconds by"
        " itself. Or cancel the execution: that needs no deciding, only a log that can be folded.",
        resolved="once the execution records anything, ends or is purged",
    ),
    IncidentKind.FAILING_DELIVERY: Entry(
        subject="the delivery",
        meaning="A message of one execution to another, such as a child's start or its result, has failed"
        " five times or more. It is tried again at least every five minutes.",
        remedy="See `delivery.failed` in the scheduler's log for the cause; the message goes out by"
        " itself once that is gone. Without it the sender waits: cancel it if it should not.",
        resolved="once the message is carried out or given up",
    ),
    IncidentKind.COMPENSATION_FAILED: Entry(
        subject="the execution and the step, as `execution/step`",
        meaning="What undoes a completed step has failed for good: what the step did is still there.",
        remedy="Undo by hand what the step did; the execution goes on undoing its other steps.",
        resolved="never by itself",
    ),
    IncidentKind.POISON_EXECUTION: Entry(
        subject="the execution",
        meaning="The execution cannot be folded into a snapshot, so readers see an old one or none.",
        remedy="Roll out a build that can fold it; it is tried again with the next message and by the sweep.",
        resolved="once the execution is folded from its log",
    ),
    IncidentKind.UNREADABLE_MESSAGE: Entry(
        subject="the subject in NATS",
        meaning="A message in the stream is not one of playlog's, and was left out.",
        remedy="Find who else publishes to that subject. The log heals whatever the message should have"
        " told.",
        resolved="never by itself",
    ),
}


INTRODUCTION = """\
# Incidents

<!-- Written by `python -m engine.domain.incidents`; a test compares. -->

An incident is something stuck or broken that wants a person. `GET /api/internal/incidents?state=open` lists
all; `GET /api/v1/executions/{execution_id}/incidents` lists those that stand in the way of one execution, and
`playlog get` shows them. Alert on `playlog_incidents_open`, which has the label `kind`.

There is one open incident for each subject. Seen again, it stays the same with newer words and `seen_at`.
Resolved, it is kept; the next time is a new one.
"""


def reference() -> str:
    """Render docs/howto/incidents.md."""
    lines = [INTRODUCTION]
    for kind, entry in CATALOG.items():
        lines += [
            f"## `{kind}`",
            "",
            entry.meaning,
            "",
            f"- Subject: {entry.subject}.",
            f"- What to do: {entry.remedy}",
            f"- Resolved {entry.resolved}.",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - the page is this program's output
