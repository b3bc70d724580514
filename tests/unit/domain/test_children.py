"""Rules 13 and 14: children, what they tell their parent, and cancelling."""

from __future__ import annotations

import pytest

from engine.domain.admit import Verdict
from engine.domain.effects import Deliver
from engine.domain.vocabulary import EventType, ExecutionStatus, StepStatus
from tests.support.play import Play, definition_of, given

PARENT = """
playbook: t/parent
steps:
  - {name: sub, tool: playbook, with: {playbook: t/child}, retry: {max_attempts: 2, delay: 1m}}
  - {name: beside, tool: noop, needs: [], deadline: 1h}
  - {name: ask, needs: [], wait: {event: go, timeout: 1h}}
output: "${ steps.sub.output }"
"""
CHILD = "{playbook: t/child, steps: [{name: only, tool: noop}], output: '${ steps.only.output }'}"


def child(depth: int = 1) -> Play:
    play = Play(definition_of(CHILD))
    play.start(parent={"execution_id": "1", "step": "sub", "depth": depth}, deadline="2026-01-02T00:00:00Z")
    return play


def messages(play: Play, kind: str) -> list[dict[str, object]]:
    return [each.payload for each in play.effects if isinstance(each, Deliver) and each.kind == kind]


def test_rule_13_the_output_of_a_child_is_the_output_of_its_step() -> None:
    play = child()
    play.complete("only", 7)
    (told,) = messages(play, "child_ended")
    assert (told["status"], told["output"]) == ("completed", 7)
    parent = given(PARENT)
    said = told | {"execution_id": str(parent.state.steps["sub"].child_id)}
    assert parent.send(EventType.CHILD_COMPLETED, said, step="sub") == ["child.completed", "step.completed"]


@pytest.mark.parametrize("status", ["failed", "cancelled", "timed_out"])
def test_rule_13_a_child_that_has_not_completed_is_the_error_child_and_its_status(status: str) -> None:
    play = child()
    ends = {
        "failed": lambda: play.fail("only", "boom"),
        "cancelled": lambda: play.cancel("enough"),
        "timed_out": lambda: play.fire("execution"),
    }
    ends[status]()
    (told,) = messages(play, "child_ended")
    error = told["error"]
    assert isinstance(error, dict)
    assert (told["status"], error["code"]) == (status, f"child_{status}")
    if status == "failed":
        assert error["details"]["code"] == "boom"


def test_rule_13_a_retry_starts_a_new_child() -> None:
    play = given(PARENT)
    first = play.state.steps["sub"].child_id
    play.end_child("sub", "failed")
    play.fire("sub:retry")
    assert play.state.steps["sub"].child_id != first
    assert len(messages(play, "start")) == 2
    play.end_child("sub", "failed")
    assert play.error["code"] == "child_failed"
    play.check_replay()


def test_rule_13_children_are_nested_sixteen_deep() -> None:
    play = Play(definition_of(PARENT))
    play.start(parent={"execution_id": "1", "step": "sub", "depth": 16})
    assert play.error["code"] == "too_deep"


def test_rule_14_cancelling_ends_commands_timers_waits_and_children_at_once() -> None:
    play = given(PARENT)
    assert play.cancel("enough") == ["execution.cancelled"]
    assert play.state.status is ExecutionStatus.CANCELLED
    assert (play.open_steps, play.open_timers) == ([], set())
    assert len(messages(play, "cancel")) == 1
    assert {step.status for step in play.state.steps.values()} == {StepStatus.CANCELLED}
    play.check_replay()


def test_rule_14_a_repeated_cancel_changes_nothing_and_another_end_refuses_it() -> None:
    play = given(PARENT)
    play.cancel()
    assert play.admit(EventType.EXECUTION_CANCELLED, {}).verdict is Verdict.UNCHANGED
    failed = given(CHILD)
    failed.fail("only")
    assert failed.admit(EventType.EXECUTION_CANCELLED, {}).code == "terminal_execution"
