"""Rule 17 and idempotency keys: what a command is issued with, and what a withdrawn one leads to."""

from __future__ import annotations

import pytest

from engine.domain.effects import PermitWanted
from engine.domain.execution import Slot
from engine.domain.ids import settled_event_id
from engine.domain.permits import Applicant, withdrawal
from engine.domain.vocabulary import EventType, StepStatus
from tests.support.play import BEGINNING, EXECUTION_ID, Play, definition_of, given

ONE = """
playbook: t/keyed
inputs: {who: {type: any, default: null}, number: {type: integer, default: 7}}
steps: [{name: a, tool: noop, %s}]
"""
LIMITED = ONE % "concurrency: {key: \"'k'\", limit: 1}, retry: {max_attempts: 3, delay: 10s}%s"


def permit(play: Play) -> PermitWanted | None:
    return play.commands[-1].permit


def withdraw(play: Play, step: str, kind: EventType) -> list[str]:
    """The delivery that withdraws the open command of a step has arrived."""
    command = play.open_command(step)
    of = Applicant(command.command_id, EXECUTION_ID, step, command.item, 1, 0, BEGINNING, 1)
    told = withdrawal(of, kind)
    more = {"event_id": told.event_id, "command_id": of.command_id, "step": of.step, "attempt": of.attempt}
    return play.send(kind, {"error": told.payload["error"]}, **more)


@pytest.mark.parametrize(
    ("concurrency", "expected"),
    [
        ("key: inputs.who", "t/keyed:ann"),
        ("key: inputs.who, scope: global", ":ann"),
        ("key: inputs.number", "t/keyed:7"),
        ("key: inputs.number > 3", "t/keyed:true"),
    ],
)
def test_rule_17_a_key_is_evaluated_when_the_command_is_issued(concurrency: str, expected: str) -> None:
    source = ONE % f"concurrency: {{{concurrency}, limit: 3, strategy: cancel_newest}}"
    play = given(source, who="ann", number=7)
    assert permit(play) == PermitWanted(expected, 3, "cancel_newest")
    assert play.log[-1].payload["concurrency"] == {"key": expected, "limit": 3}  # type: ignore[index]
    play.check_replay()


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("x" * 200, None),
        ("x" * 201, "value_too_large"),
        ("ü" * 101, "value_too_large"),
        ("", "expression_error"),
        ("a\nb", "expression_error"),
        ("a\0b", "expression_error"),
        (1.5, "expression_error"),
        ([1], "expression_error"),
        (None, "expression_error"),
    ],
)
@pytest.mark.parametrize("keyed", ["concurrency: {key: inputs.who, limit: 1}", "idempotency_key: inputs.who"])
def test_a_key_that_cannot_be_one_fails_the_attempt(keyed: str, who: object, code: str | None) -> None:
    play = given(ONE % keyed, who=who)
    if code is None:
        assert play.open_steps == ["a"]
    else:
        assert play.types == ["execution.started", "step.failed", "execution.failed"]
        assert play.error["code"] == code


def test_items_of_a_map_need_permits_of_their_own() -> None:
    play = given(ONE % "map: {items: [x, y]}, concurrency: {key: item, limit: 1}")
    assert [command.permit and command.permit.key for command in play.commands] == ["t/keyed:x", "t/keyed:y"]


def test_what_waits_out_a_delay_is_issued_after_it_and_so_holds_no_permit() -> None:
    play = given(LIMITED % "")
    assert play.fail("a") == ["command.failed", "timer.set"]
    assert play.state.status_of("a") is StepStatus.RETRYING
    assert play.open_steps == []
    assert play.fire("a:retry") == ["timer.fired", "command.issued"]
    assert play.commands[-1].available_at == play.now
    assert play.complete("a")[-1] == "execution.completed"
    play.check_replay()


def test_rounds_with_a_rest_between_them_are_issued_after_it() -> None:
    play = given(ONE % "concurrency: {key: string(iteration), limit: 1}, repeat: {max: 2, delay: 5s}")
    assert play.complete("a") == ["command.completed", "timer.set"]
    play.fire("a:retry")
    assert [command.permit and command.permit.key for command in play.commands] == ["t/keyed:1", "t/keyed:2"]
    play.check_replay()


def test_a_preempted_command_is_not_tried_again() -> None:
    play = given(LIMITED % "")
    late = play.open_command("a").command_id
    assert withdraw(play, "a", EventType.COMMAND_CANCELLED) == [
        *("command.cancelled", "step.failed", "execution.failed"),
    ]
    assert play.error["code"] == "cancelled"
    assert play.log[-3].event_id == settled_event_id(late)
    assert play.open_steps == []
    play.check_replay()


def test_a_refused_command_is_tried_again_as_any_failure_is() -> None:
    play = given(LIMITED % "")
    assert withdraw(play, "a", EventType.CONCURRENCY_REJECTED) == ["concurrency.rejected", "timer.set"]
    play.fire("a:retry")
    assert play.open_steps == ["a"]
    play.check_replay()


def test_on_error_answers_a_withdrawn_command() -> None:
    answer = ", on_error: [{when: \"error.code == 'cancelled'\", then: continue}]"
    play = given(LIMITED % answer)
    assert withdraw(play, "a", EventType.COMMAND_CANCELLED)[-1] == "execution.completed"


def test_a_command_that_is_settled_cannot_be_withdrawn_any_more() -> None:
    play = given(LIMITED % "")
    settled = play.open_command("a").command_id
    play.complete("a")
    admission = play.admit(EventType.COMMAND_CANCELLED, {}, command_id=settled)
    assert admission.event is None


LOOP = """
playbook: t/loop
steps:
  - {name: a, tool: noop}
  - {name: b, tool: noop, next: [{when: 'true', step: a}, {default: end}]}
"""
REPEATING = "repeat: {max: 3}, retry: {max_attempts: 2, delay: 1ms}%s"


def keys(play: Play) -> list[str | None]:
    return [command.idempotency_key for command in play.commands]


def test_all_attempts_of_a_round_have_one_idempotency_key_and_each_round_its_own() -> None:
    play = given(ONE % REPEATING % "")
    play.fail("a")
    play.complete("a")
    play.fail("a")
    assert keys(play) == [f"{EXECUTION_ID}/a/0/{round_}" for round_ in (1, 1, 2, 2)]


def test_items_and_visits_and_undoings_have_their_own_idempotency_keys() -> None:
    play = given(ONE % "map: {items: [x, y]}, compensate: {tool: noop}")
    assert keys(play) == [f"{EXECUTION_ID}/a[0]/0/0", f"{EXECUTION_ID}/a[1]/0/0"]
    play = given(LOOP)
    for step in ("a", "b", "a"):
        play.complete(step)
    assert keys(play) == [f"{EXECUTION_ID}/{slot}/0" for slot in ("a/0", "b/0", "a/1", "b/1")]
    play = given(
        "{playbook: t/undo, steps: [{name: a, tool: noop, compensate: {tool: noop}}, {name: b, tool: noop}]}"
    )
    play.complete("a")
    play.fail("b")
    assert keys(play)[-1] == f"{EXECUTION_ID}/a!/0/0"


OWN = """
playbook: t/own
steps:
  - {name: other, tool: noop}
  - {name: begin, tool: noop, needs: []}
  - name: a
    tool: noop
    needs: [other, begin]
    join: any
    idempotency_key: "'k-' + steps.other.status + '-' + string(iteration)"
    retry: {max_attempts: 2, delay: 1ms}
    repeat: {max: 2}
"""


def test_an_own_idempotency_key_is_evaluated_once_for_all_attempts_of_a_round() -> None:
    play = given(OWN)
    play.complete("begin")
    play.complete("other")
    play.fail("a")
    play.complete("a")
    assert keys(play)[2:] == ["k-queued-1", "k-queued-1", "k-completed-2"]
    play.check_replay()


def test_a_child_inherits_the_priority_of_its_step_or_else_of_the_execution() -> None:
    for own, expected in (("", 7), (", priority: -5", -5)):
        source = f"{{playbook: t/p, steps: [{{name: a, tool: playbook, with: {{playbook: t/c}}{own}}}]}}"
        play = Play(definition_of(source))
        play.start(priority=7)
        assert play.effects[-1].payload["priority"] == expected  # type: ignore[union-attr]
        assert Slot("a") in play.state.children.values()
