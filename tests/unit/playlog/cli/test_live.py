from __future__ import annotations

import io

import pytest
from pydantic import JsonValue
from rich.console import Console

from playlog.answers import Event
from playlog.cli.live import detail, print_event


def event(
    kind: str, payload: JsonValue = None, *, step: str | None = "fetch", attempt: int | None = None
) -> Event:
    return {
        "version": 3,
        "event_id": "7",
        "event_type": kind,
        "step": step,
        "attempt": attempt,
        "status": "COMPLETED",
        "payload": payload,
        "meta": None,
        "recorded_at": "2026-01-02T03:04:05.123456Z",
    }


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (event("execution.started", {"inputs": {"day": 1}}, step=None), '{"day":1}'),
        (event("command.issued", {"tool": "http"}, attempt=2), "attempt 2"),
        (
            event(
                "command.failed", {"data": {"code": "http_status", "message": "no", "status": 503}}, attempt=1
            ),
            "attempt 1: http_status 503: no",
        ),
        (event("wait.opened", {"event": "approved"}), "waits for the signal approved"),
        (event("signal.received", {"name": "approved", "data": 1}), "approved"),
        (event("step.skipped", {"reason": "guard"}), "guard"),
        (event("execution.completed", {"output": {"n": 1}}, step=None), '{"n":1}'),
        (event("something.foreign", "text"), '"text"'),
    ],
)
def test_an_event_is_told_in_a_few_words(seen: Event, words: str) -> None:
    assert detail(seen) == words


def test_a_line_never_exceeds_the_width() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_event(console, event("execution.completed", {"output": "x" * 500}, step=None))
    assert isinstance(console.file, io.StringIO)
    (line,) = console.file.getvalue().splitlines()
    assert len(line) <= 80
    assert "execution.completed" in line
