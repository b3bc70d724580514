from __future__ import annotations

import io

import pytest
from pydantic import JsonValue
from rich.console import Console

from engine.domain.events import parse_iso
from playlog.answers import Event
from playlog.cli.live import detail, print_event, render_event
from playlog.cli.live_maps import MapCounts


def event(
    kind: str,
    payload: JsonValue = None,
    *,
    step: str | None = "fetch",
    attempt: int | None = None,
    item: int | None = None,
) -> Event:
    return {
        "version": 3,
        "event_id": "7",
        "event_type": kind,
        "step": step,
        "attempt": attempt,
        "item": item,
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
        (
            event("wait.opened", {"until": "2026-01-09T03:04:05.000000Z"}),
            f"waits until {parse_iso('2026-01-09T03:04:05.000000Z').astimezone():%Y-%m-%d %H:%M:%S}",
        ),
        (event("signal.received", {"name": "approved", "data": {"by": 1}}), 'approved {"by":1}'),
        (event("signal.received", {"name": "approved", "data": None}), "approved"),
        (event("command.issued", {"iteration": 7}, attempt=9), "attempt 9, round 7"),
        (event("step.skipped", {"reason": "guard"}), "guard"),
        (event("map.opened", {"count": 2, "items": [1, 2]}), "2 items"),
        (event("map.closed", {"completed": 9, "failed": 1}), "9 items completed, 1 failed"),
        (event("execution.completed", {"output": {"n": 1}}, step=None), '{"n":1}'),
        (event("something.foreign", "text"), '"text"'),
    ],
)
def test_an_event_is_told_in_a_few_words(seen: Event, words: str) -> None:
    assert detail(seen) == words


def printed(seen: Event) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_event(console, seen)
    assert isinstance(console.file, io.StringIO)
    (line,) = console.file.getvalue().splitlines()
    return line


def test_the_longest_type_and_the_item_of_a_map_stand_apart_from_their_neighbours() -> None:
    line = printed(event("compensation.completed", attempt=1, item=3))
    assert line.split()[1:] == ["compensation.completed", "fetch[3]"]


def test_a_line_never_exceeds_the_width() -> None:
    line = printed(event("execution.completed", {"output": "x" * 500}, step=None))
    assert len(line) <= 80
    assert "execution.completed" in line


def test_an_item_stands_beside_its_step() -> None:
    assert "fetch[17]" in render_event(event("command.failed", {"data": "no"}, item=17)).plain


def test_the_items_of_a_map_are_one_line_a_second_however_many_there_are() -> None:
    now = [0.0]
    counts = MapCounts(lambda: now[0])
    said: list[str] = []
    assert not counts.take(event("map.opened", {"count": 200}))
    for number in range(100):
        now[0] += 0.0625
        assert counts.take(event("command.issued", item=number))
        if number % 2:
            assert counts.take(event("command.completed", item=number))
        said += [line.plain for line in counts.lines()]
    assert counts.take(event("child.completed", {"status": "completed"}, item=0))
    assert counts.take(event("child.completed", {"status": "failed"}, item=2))
    assert counts.take(event("command.failed", item=4))
    assert counts.take(event("step.failed", {"error": {}}, item=2))
    now[0] += 1
    said += [line.plain for line in counts.lines()]
    assert len(said) == 7
    assert said[-1].endswith("fetch     51/200 items, 1 failed, 48 open")
    assert not counts.take(event("step.completed"))
    assert not counts.take(event("map.closed", {"completed": 199, "failed": 1}))
    now[0] += 1
    assert counts.lines() == []
