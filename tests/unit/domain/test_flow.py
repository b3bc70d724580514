"""Rules 1 to 5: edges, skips, joins, guards, the end."""

import pytest

from engine.domain.vocabulary import ExecutionStatus, StepStatus
from tests.support.play import Play, given


def statuses(play: Play) -> dict[str, str]:
    return {name: step.status.value for name, step in play.state.steps.items()}


DIAMOND = """
playbook: t/diamond
inputs: {left: {type: boolean, default: true}}
steps:
  - {name: left, tool: noop, when: "inputs.left", needs: []}
  - {name: right, tool: noop, needs: []}
  - {name: both, tool: noop, needs: [left, right]}
"""


def test_rule_1_steps_without_predecessors_are_roots_and_run_in_parallel() -> None:
    play = given(DIAMOND, left=True)
    assert play.open_steps == ["left", "right"]


def test_rule_3_a_join_waits_for_all_incoming_edges() -> None:
    play = given(DIAMOND, left=True)
    assert play.complete("left") == ["command.completed", "step.completed"]
    assert play.complete("right") == ["command.completed", "step.completed", "command.issued"]
    play.complete("both")
    assert play.state.phase is ExecutionStatus.COMPLETED
    play.check_replay()


def test_rule_2_a_false_guard_skips_and_the_flow_continues() -> None:
    play = given(DIAMOND, left=False)
    assert play.open_steps == ["right"]
    play.complete("right")
    play.complete("both")
    assert statuses(play) == {"left": "skipped", "right": "completed", "both": "completed"}
    play.check_replay()


ANY = """
playbook: t/any
steps:
  - {name: a, tool: noop, needs: []}
  - {name: b, tool: noop, needs: []}
  - {name: first, tool: noop, needs: [a, b], join: any}
"""


def test_rule_3_any_runs_once_at_the_first_live_edge_and_cancels_nothing() -> None:
    play = given(ANY)
    assert play.complete("b")[-1] == "command.issued"
    assert play.complete("first") == ["command.completed", "step.completed"]
    assert play.complete("a") == ["command.completed", "step.completed", "execution.completed"]
    assert [command.step for command in play.commands] == ["a", "b", "first"]
    play.check_replay()


ROUTES = """
playbook: t/routes
steps:
  - name: look
    tool: noop
    next:
      - {when: "steps.look.output == 'left'", step: left}
      - {when: "steps.look.output == 'end'", step: end}
      - {default: right}
  - {name: left, tool: noop, next: join}
  - {name: right, tool: noop, next: join}
  - {name: join, tool: noop}
"""


@pytest.mark.parametrize(("answer", "taken", "other"), [("left", "left", "right"), ("x", "right", "left")])
def test_rule_2_routing_makes_the_chosen_edge_live_and_the_others_dead(
    answer: str, taken: str, other: str
) -> None:
    play = given(ROUTES)
    play.complete("look", answer)
    assert play.open_steps == [taken]
    assert play.state.steps[other].skip_reason == "not_taken"
    play.complete(taken)
    play.complete("join")
    assert play.state.phase is ExecutionStatus.COMPLETED
    play.check_replay()


def test_rule_2_next_end_ends_the_branch_and_skips_what_only_it_could_reach() -> None:
    play = given(ROUTES)
    assert play.complete("look", "end")[-1] == "execution.completed"
    assert {name for name, status in statuses(play).items() if status == "skipped"} == {
        "left",
        "right",
        "join",
    }
    play.check_replay()


def test_rule_5_no_matching_route_and_no_default_is_no_route() -> None:
    play = given(
        """
playbook: t/noroute
steps:
  - {name: a, tool: noop, next: [{when: "steps.a.output == 1", step: b}]}
  - {name: b, tool: noop}
"""
    )
    assert play.complete("a", 2)[-2:] == ["step.failed", "execution.failed"]
    assert play.error["code"] == "no_route"


def test_rule_4_an_error_in_a_guard_fails_the_step() -> None:
    play = given(
        """
playbook: t/guard
steps:
  - {name: a, tool: noop}
  - {name: b, tool: noop, when: "steps.a.output.x > 1"}
"""
    )
    play.complete("a", {})
    assert play.error["code"] == "expression_error"
    assert play.state.status_of("b") is StepStatus.FAILED


def test_rule_6_an_unhandled_failure_ends_the_execution_and_closes_what_runs() -> None:
    play = given(DIAMOND, left=True)
    assert play.fail("left") == ["command.failed", "step.failed", "execution.failed"]
    assert play.open_steps == []
    assert statuses(play) == {"left": "failed", "right": "cancelled"}
    assert play.error == {"code": "boom", "message": "boom", "attempt": 1, "step": "left"}
    play.check_replay()
