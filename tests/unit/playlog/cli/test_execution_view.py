"""An execution in words: what it waits for and what stands in its way."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from engine.domain.events import iso
from playlog.answers import Execution, Incident, Waiting
from playlog.cli.execution_view import execution_view, waiting_text

LATER = iso(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))


def waits(what: str, owner: str, **more: object) -> Waiting:
    waiting: Waiting = {
        "what": what,
        "step": "fetch",
        "item": None,
        "undoing": False,
        "attempt": None,
        "since": None,
        "until": None,
        "not_before": None,
        "owner": owner,
        "items": None,
    }
    return {**waiting, **more}  # type: ignore[typeddict-item]


MAP = {"item": 5, "items": {"total": 9, "completed": 3, "failed": 0, "open": 2, "left": 4}}


@pytest.mark.parametrize(
    ("waiting", "text"),
    [
        (waits("claim", "pool:gpu"), "fetch: waits for a worker of pool gpu"),
        (waits("claim", "pool:gpu", attempt=3), "fetch (attempt 3): waits for a worker of pool gpu"),
        (waits("claim", "operator"), "fetch: waits until an operator resumes the execution"),
        (waits("result", "pool:gpu"), "fetch: runs on a worker of pool gpu"),
        (waits("child", "child:77"), "fetch: waits for execution 77"),
        (waits("signal", "signal:approved"), "fetch: waits for the signal approved"),
        (waits("claim", "pool:x", undoing=True), "fetch (being undone): waits for a worker of pool x"),
        (waits("resume", "operator", step=None), "paused, waits for an operator to resume it"),
        (
            waits("claim", "pool:x", **MAP),
            "fetch (3 of 9 items done, 2 open, oldest item 5): waits for a worker of pool x",
        ),
    ],
)
def test_each_wait_is_said_in_words(waiting: Waiting, text: str) -> None:
    assert waiting_text(waiting) == text


def test_times_say_since_when_and_until_when() -> None:
    since = iso(datetime.now(UTC) - timedelta(minutes=3, seconds=5))
    text = waiting_text(waits("claim", "pool:x", since=since, not_before=LATER, until=LATER))
    assert "since 3 m 05 s" in text
    assert text.count("2030-01-0") == 2


def test_an_incident_is_shown_with_what_to_do() -> None:
    execution: Execution = {
        "execution_id": "7",
        "playbook": "t/x",
        "playbook_version": 1,
        "definition_hash": None,
        "status": "running",
        "version": 2,
        "inputs": None,
        "output": None,
        "error": None,
        "labels": {},
        "started_at": None,
        "ended_at": None,
        "parent": None,
        "current_steps": ["fetch"],
        "progress": {"total": 1, "completed": 0, "failed": 0, "running": 1, "skipped": 0, "items": None},
        "waiting_for": [waits("claim", "pool:gpu")],
    }
    incident: Incident = {
        "kind": "pool_without_workers",
        "subject": "gpu",
        "detail": "no worker of it is known",
        "remedy": "Start workers with `PLAYLOG_POOL` set to that pool.",
        "opened_at": LATER,
        "seen_at": LATER,
    }
    console = Console(file=io.StringIO(), width=200)
    console.print(execution_view(execution, [incident]))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "fetch: waits for a worker of pool gpu" in shown
    assert "pool_without_workers: no worker of it is known. Start workers with PLAYLOG_POOL set" in shown
