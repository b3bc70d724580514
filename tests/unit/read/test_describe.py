"""States and events as readers see them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.domain.carried import carried_value
from engine.domain.events import iso
from engine.read.describe import (
    MOST_WAITS,
    Values,
    claimed_from,
    describe,
    describe_attempts,
    describe_steps,
    signals_of,
)
from tests.support.play import BEGINNING, Play, given

TWO = """
playbook: tests/two
steps:
  - name: first
    tool: noop
    deadline: 2h
    retry: {max_attempts: 3, delay: 10s, jitter: 0.0}
  - name: second
    tool: noop
    pool: gpu
"""
POOLS = {"first": None, "second": "gpu"}

WAITS = """
playbook: tests/waits
steps:
  - name: pause
    wait: {for: 5m}
  - name: ask
    needs: []
    wait: {event: answer, timeout: 1h}
"""


def shown(play: Play, step: str) -> list[dict[str, object]]:
    events = [event for event in play.log if event.step == step]
    by_version = {event.version: event for event in play.log}
    signals = {
        version: carried_value("signal.received", by_version[version].payload)
        for version in signals_of(events)
    }
    return describe_attempts(events, signals, play.state.ended_at)


def test_what_is_waited_for_is_said_with_its_owner_and_its_times() -> None:
    play = given(TWO)
    document = describe(play.state, Values(inputs={}), POOLS)
    assert document["current_steps"] == ["first"]
    assert document["waiting_for"] == [
        {
            "what": "claim",
            "step": "first",
            "item": None,
            "undoing": False,
            "attempt": 1,
            "since": iso(BEGINNING),
            "until": iso(BEGINNING + timedelta(hours=2)),
            "not_before": None,
            "owner": "pool:default",
            "items": None,
        }
    ]
    play.complete("first")
    assert claimed_from(play.state) == {"gpu"}


def test_many_waits_are_cut_off_and_a_map_is_one_of_them() -> None:
    steps = ", ".join(f"{{name: s{n}, needs: [], tool: noop}}" for n in range(MOST_WAITS + 5))
    play = given(f"{{playbook: t/many, steps: [{steps}]}}")
    waiting = describe(play.state, Values(), {})["waiting_for"]
    assert isinstance(waiting, list)
    assert len(waiting) == MOST_WAITS
    source = "{playbook: t/map, steps: [{name: a, map: {items: [1, 2, 3], max_in_flight: 2}, tool: noop}]}"
    waiting = describe(given(source).state, Values(), {})["waiting_for"]
    assert isinstance(waiting, list)
    items = {"total": 3, "completed": 0, "failed": 0, "open": 2, "left": 1}
    assert [each["items"] for each in waiting] == [items]


def test_an_ended_execution_waits_for_nobody() -> None:
    play = given(WAITS)
    play.cancel()
    document = describe(play.state, Values(), {})
    assert (document["status"], document["current_steps"], document["waiting_for"]) == ("cancelled", [], [])


def test_a_parent_is_named_by_execution_and_step() -> None:
    play = Play(given(TWO).definition)
    play.start(parent={"execution_id": "12", "step": "call", "depth": 1})
    assert describe(play.state, Values())["parent"] == {"execution_id": "12", "step": "call"}


@pytest.mark.parametrize(("pools", "total"), [(None, 1), (POOLS, 2)])
def test_the_total_counts_the_definition_where_it_is_known(pools: dict[str, str | None], total: int) -> None:
    play = given(TWO)
    assert describe(play.state, Values(), pools)["progress"] == {
        "total": total,
        "completed": 0,
        "failed": 0,
        "running": 1,
        "skipped": 0,
        "items": None,
    }


def test_steps_that_have_not_begun_are_pending() -> None:
    play = given(TWO)
    rows = describe_steps(play.state, POOLS)
    assert [(row["step"], row["status"], row["attempts"]) for row in rows] == [
        ("first", "queued", 1),
        ("second", "pending", 0),
    ]


def test_each_attempt_has_its_own_outcome() -> None:
    play = given(TWO)
    play.fail("first")
    play.pass_time(10)
    play.lose("first")
    assert [(row["attempt"], row["status"]) for row in shown(play, "first")] == [
        (1, "failed"),
        (2, "expired"),
        (3, "queued"),
    ]
    [row, _] = describe_steps(play.state, POOLS)
    assert (row["attempts"], row["failures"], row["lost"]) == (3, 1, 1)
    first, second, _ = shown(play, "first")
    assert first["error"] == {"code": "boom", "message": "boom"}
    assert second["error"] is not None
    play.complete("first", {"a": 1})
    assert shown(play, "first")[2]["output"] == {"a": 1}


def test_a_deadline_closes_the_open_attempt_with_its_error() -> None:
    play = given(TWO)
    play.fire("first:deadline")
    [attempt] = shown(play, "first")
    assert attempt["status"] == "failed"
    assert attempt["ended_at"] == iso(play.now)
    error = attempt["error"]
    assert isinstance(error, dict)
    assert error["code"] == "deadline_exceeded"


def test_waits_are_attempts_too() -> None:
    play = given(WAITS)
    play.signal("answer", {"yes": True})
    [asked] = shown(play, "ask")
    assert (asked["status"], asked["output"]) == ("completed", {"yes": True})
    [paused] = shown(play, "pause")
    assert (paused["status"], paused["ended_at"]) == ("waiting", None)
    play.fire("pause:wait")
    assert shown(play, "pause")[0]["status"] == "completed"


def test_a_wait_in_vain_has_timed_out() -> None:
    play = given(WAITS)
    play.fire("ask:wait")
    assert [row["status"] for row in shown(play, "ask")] == ["timed_out"]


def test_a_claimed_attempt_runs_on_its_worker() -> None:
    play = given(TWO)
    at = iso(play.now)
    command = play.open_command("first")
    claimed = {"worker_id": "w7", "claimed_at": at}
    play.send("command.claimed", claimed, command_id=command.command_id, step="first")
    [attempt] = shown(play, "first")
    assert (attempt["status"], attempt["worker"], attempt["started_at"]) == ("running", "w7", at)


def test_an_attempt_that_the_end_cut_short_stays_cancelled_after_a_retry() -> None:
    play = given(TWO)
    play.cancel()
    play.pass_time(60)
    play.reopen()
    assert [attempt["status"] for attempt in shown(play, "first")] == ["cancelled", "queued"]
    assert describe(play.state, Values(), POOLS)["ended_at"] is None


MAPPED = """
playbook: tests/mapped
steps:
  - {name: each, tool: noop, map: {items: [1, 2, 3, 4, 5], max_in_flight: 3%s}, retry: {max_attempts: 1}}
"""


def test_the_items_of_a_map_are_counted_and_those_cut_short_are_neither_completed_nor_failed() -> None:
    play = given(MAPPED % ", on_item_error: continue")
    play.complete("each[0]")
    play.fail("each[1]")
    standing = {"total": 5, "completed": 1, "failed": 1, "open": 3, "left": 0}
    assert describe(play.state, Values(), {"each": None})["progress"]["items"] == standing  # type: ignore[index]
    assert describe_steps(play.state, {"each": None})[0]["items"] == standing
    play = given(MAPPED % "")
    play.complete("each[0]")
    play.fail("each[1]")
    assert describe_steps(play.state, {"each": None})[0]["items"] == {
        "total": 5,
        "completed": 1,
        "failed": 1,
        "open": 0,
        "left": 1,
    }


def test_an_attempt_of_a_child_of_an_item_is_told_by_the_item() -> None:
    source = MAPPED.replace("tool: noop", "tool: playbook").replace(
        "retry:", "with: {playbook: tests/two}, retry:"
    )
    play = given(source % "")
    play.end_child("each[1]")
    play.end_child("each[0]")
    ended = [attempt["item"] for attempt in shown(play, "each") if attempt["ended_at"] is not None]
    assert ended == [0, 1]
