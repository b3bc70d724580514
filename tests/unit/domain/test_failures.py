"""Rules 6, 7 and 15: what answers a failure, and what is undone before the end."""

from __future__ import annotations

import pytest

from engine.domain.effects import OpenIncident
from engine.domain.vocabulary import ExecutionStatus, StepStatus
from tests.support.play import Play, definition_of, given

ANSWERS = """
playbook: t/answers
steps:
  - name: first
    tool: noop
    on_error: [{when: "error.code == 'known'", then: %s}, {when: "error.code == 'bad'", then: fail}]
  - {name: usual, tool: noop, next: [{when: "steps.usual.output == 'odd'", step: repair}, {default: end}]}
  - {name: repair, tool: noop, with: {cause: "${ steps.first.error.code }"}}
"""


def test_rule_7_skip_answers_like_a_guard() -> None:
    play = given(ANSWERS % "skip")
    assert play.fail("first", "known") == ["command.failed", "step.skipped", "command.issued"]
    assert play.state.steps["first"].skip_reason == "error"
    assert play.open_steps == ["usual"]


def test_rule_7_continue_fails_the_step_and_goes_on() -> None:
    play = given(ANSWERS % "continue")
    assert play.fail("first", "known") == ["command.failed", "step.failed", "command.issued"]
    assert play.state.status_of("first") is StepStatus.FAILED
    play.complete("usual")
    assert play.types[-1] == "execution.completed"
    play.check_replay()


def test_rule_7_a_step_answers_in_place_of_the_usual_flow() -> None:
    play = given(ANSWERS % "repair")
    play.fail("first", "known")
    assert play.open_steps == ["repair"]
    assert play.commands[-1].input == b'{"cause":"known"}'
    play.complete("repair")
    assert play.state.status_of("usual") is StepStatus.SKIPPED
    assert play.types[-1] == "execution.completed"
    play.check_replay()


@pytest.mark.parametrize("code", ["bad", "unknown"])
def test_rule_7_what_nothing_answers_fails_the_execution(code: str) -> None:
    play = given(ANSWERS % "repair")
    play.fail("first", code)
    assert play.error["code"] == code
    assert play.types[-1] == "execution.failed"


def test_an_answer_that_cannot_be_evaluated_fails_the_step_with_its_cause() -> None:
    play = given(ANSWERS.replace("error.code == 'bad'", "error.details.x == 1") % "skip")
    play.fail("first", "other")
    assert play.error["code"] == "expression_error"
    assert play.error["cause"] == {"code": "other", "message": "other", "attempt": 1}


def test_an_answer_may_look_at_the_item_that_failed() -> None:
    play = given(
        "{playbook: t/m, steps: [{name: a, tool: noop, map: {items: [1, 2]},"
        " on_error: [{when: error.item == 1 && error.cause == null, then: skip}]}]}"
    )
    play.fail("a[1]")
    assert play.types[-1] == "execution.completed"


SAGA = """
playbook: t/saga
steps:
  - name: one
    tool: noop
    compensate: {tool: noop, with: {undo: "${ steps.one.output }"}, retry: {max_attempts: 2, delay: 1s}}
  - name: two
    tool: noop
    compensate: {tool: noop, with: {undo: "${ steps.two.output }"}}
  - {name: three, tool: noop}
"""


def undone() -> Play:
    play = given(SAGA)
    play.complete("one", 1)
    play.complete("two", 2)
    return play


def test_rule_15_completed_steps_are_undone_one_at_a_time_the_last_one_first() -> None:
    play = undone()
    assert play.fail("three") == [
        "command.failed",
        "step.failed",
        "execution.cancelling",
        "compensation.started",
        "command.issued",
    ]
    assert play.state.status is ExecutionStatus.COMPENSATING
    assert play.open_steps == ["two!"]
    assert play.commands[-1].input == b'{"undo":2}'
    assert play.complete("two!") == [
        "command.completed",
        "compensation.completed",
        "compensation.started",
        "command.issued",
    ]
    assert play.commands[-1].input == b'{"undo":1}'
    assert play.complete("one!") == ["command.completed", "compensation.completed", "execution.failed"]
    assert play.error["step"] == "three"
    assert play.state.compensation == "complete"
    assert play.open_timers == set()
    play.check_replay()


def test_rule_15_what_cannot_be_undone_is_an_incident_and_the_rest_goes_on() -> None:
    play = undone()
    play.fail("three")
    play.complete("two!")
    assert play.fail("one!") == ["command.failed", "command.issued"]
    assert play.fail("one!") == ["command.failed", "compensation.failed", "execution.failed"]
    assert play.state.compensation == "incomplete"
    assert [effect.kind for effect in play.effects if isinstance(effect, OpenIncident)] == [
        "compensation_failed"
    ]
    play.check_replay()


def with_deadline() -> Play:
    play = Play(definition_of(SAGA))
    play.start(deadline="2026-01-01T01:00:00.000000Z")
    play.complete("one")
    assert "execution" in play.open_timers
    return play


def test_rule_15_the_deadline_of_the_execution_is_off_while_steps_are_undone() -> None:
    play = with_deadline()
    play.fail("two")
    assert play.state.deadline is None
    assert "execution" not in play.open_timers


def test_rule_15_an_undoing_that_takes_longer_than_an_hour_has_failed() -> None:
    play = undone()
    play.fail("three")
    assert play.fire("two!:deadline")[:2] == ["timer.fired", "compensation.failed"]


def test_rule_6_nothing_completed_means_nothing_to_undo() -> None:
    play = given(SAGA)
    assert play.fail("one") == ["command.failed", "step.failed", "execution.failed"]
    assert play.state.compensation is None


def test_rule_15_a_time_out_of_the_execution_is_compensated_too() -> None:
    play = with_deadline()
    assert play.fire("execution") == [
        "timer.fired",
        "execution.cancelling",
        "compensation.started",
        "command.issued",
    ]
    assert play.complete("one!")[-1] == "execution.timed_out"
    assert play.state.compensation == "complete"
    play.check_replay()
