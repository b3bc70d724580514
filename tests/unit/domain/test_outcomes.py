"""Nothing ends in silence: whatever stops an execution, its last event has a code, the step and a way out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from engine.domain.attempts import MAX_DEPTH, MAX_LOSSES_IN_A_ROW
from engine.domain.flow import MOST_VISITS
from tests.support.play import Play, definition_of

SOURCE = """
playbook: t/out
inputs: {n: {type: object, default: {}}}
steps:
  - {name: a, %s}
  - {name: b, tool: noop}
"""
LOOP = """
playbook: t/loop
steps:
  - {name: a, tool: noop}
  - {name: b, tool: noop, next: [{when: "steps.b.output == 1", step: a}, {default: end}]}
"""
CHILD = "tool: playbook, with: {playbook: t/x}"


def complete(play: Play) -> None:
    play.complete("a", 3)


def exhaust(play: Play) -> None:
    play.fail("a")
    play.fail("a")


def lose(play: Play) -> None:
    for _ in range(MAX_LOSSES_IN_A_ROW):
        play.lose("a")


def nothing(_: Play) -> None:
    """It ends by being started."""


def ends(status: str) -> Callable[[Play], object]:
    return partial(Play.end_child, step="a", status=status)


@pytest.mark.parametrize(
    ("step", "act", "code", "way_out"),
    [
        ("tool: noop, next: [{when: 'steps.a.output == 1', step: b}]", complete, "no_route", "add one"),
        ("tool: noop, retry: {max_attempts: 2}", exhaust, "boom", "boom"),
        ("tool: noop, repeat: {max: 1, until: 'output == 1'}", complete, "repeat_exhausted", "raise `max`"),
        ("tool: noop", lose, "worker_lost", "the worker of a"),
        ("wait: {event: go, timeout: 1h}", partial(Play.fire, key="a:wait"), "wait_timeout", "`on_timeout`"),
        ("tool: noop, deadline: 1h", partial(Play.fire, key="a:deadline"), "deadline_exceeded", "`deadline`"),
        ("tool: noop, with: {x: '${ inputs.n.y }'}", nothing, "expression_error", "inputs.n.y"),
        ("tool: noop, map: {items: '${ inputs.n.x }'}", nothing, "expression_error", "a list is needed"),
        ("tool: noop, when: 'inputs.n.x'", nothing, "expression_error", "a bool is expected"),
        (CHILD, ends("failed"), "child_failed", ""),
        (CHILD, ends("cancelled"), "child_cancelled", ""),
        (CHILD, ends("timed_out"), "child_timed_out", ""),
    ],
)
def test_a_failure_names_its_code_the_step_and_a_way_out(
    step: str, act: Callable[[Play], object], code: str, way_out: str
) -> None:
    play = Play(definition_of(SOURCE % step), {"n": {"x": 7}})
    play.start()
    act(play)
    assert play.types[-1] == "execution.failed"
    assert (play.error["code"], play.error["step"]) == (code, "a")
    assert way_out in str(play.error["message"])


def test_a_cycle_that_does_not_end_is_stopped() -> None:
    play = Play(definition_of(LOOP))
    play.start()
    for _ in range(MOST_VISITS):
        play.complete("a")
        play.complete("b", 1)
    assert (play.types[-1], play.error["code"], play.error["step"]) == ("execution.failed", "loop_limit", "a")
    assert "let its cycle end sooner" in str(play.error["message"])


def test_a_circle_of_children_is_stopped() -> None:
    play = Play(definition_of(f"{{playbook: t/deep, steps: [{{name: a, {CHILD}}}]}}"))
    play.start(parent={"execution_id": "1", "step": "a", "depth": MAX_DEPTH})
    assert (play.types[-1], play.error["code"], play.error["step"]) == ("execution.failed", "too_deep", "a")
    assert "look for a circle" in str(play.error["message"])


def test_a_deadline_says_which_steps_were_open() -> None:
    play = Play(definition_of(SOURCE % "tool: noop"))
    play.start(deadline="2026-01-02T00:00:00.000000Z")
    play.fire("execution")
    assert (play.types[-1], play.error["code"]) == ("execution.timed_out", "deadline_exceeded")
    assert "still open: a" in str(play.error["message"])


def test_an_output_that_cannot_be_evaluated_fails_the_execution() -> None:
    play = Play(definition_of((SOURCE % "tool: noop") + "output: '${ inputs.n.y }'"), {"n": {}})
    play.start()
    play.complete("a")
    play.complete("b")
    assert (play.types[-1], play.error["code"]) == ("execution.failed", "output_error")
    assert "inputs.n.y" in str(play.error["message"])
