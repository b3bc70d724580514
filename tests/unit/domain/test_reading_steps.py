"""Rule 12: what expressions read of steps."""

from __future__ import annotations

from tests.support.play import given

FORK = """
playbook: t/fork
inputs: {taken: {type: boolean}}
steps:
  - {name: first, tool: noop, next: [{when: inputs.taken, step: one}, {default: other}]}
  - {name: one, tool: noop, next: other}
  - {name: other, tool: noop}
output: "${ [steps.first.status, steps.one.status, steps.one.output] }"
"""


def test_rule_12_the_status_of_a_step_always_exists_and_noop_has_output_null() -> None:
    play = given(FORK, taken=True)
    for step in ("first", "one", "other"):
        play.complete(step)
    assert play.output == ["completed", "completed", None]


def test_rule_12_the_output_of_a_step_that_has_not_completed_is_an_error_with_path_and_status() -> None:
    play = given(FORK, taken=False)
    play.complete("first")
    play.complete("other")
    assert play.error["code"] == "output_error"
    assert "steps.one.output: the step is skipped, not completed" in str(play.error["message"])
