"""Rules 8 and 9: repeats, and cycles by `next`."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest

from engine.domain.snapshot import encode
from engine.domain.vocabulary import StepStatus
from tests.support.play import BEGINNING, Play, given

POLL = """
playbook: t/poll
steps:
  - name: poll
    tool: noop
    with: {round: "${ iteration }"}
    retry: {max_attempts: 2, delay: 1s}
    repeat: {max: 3, delay: 10s%s}
output: "${ steps.poll.output }"
"""
UNTIL = ', until: "output.done && iteration > 1"'


def rounds(play: Play) -> list[object]:
    return [orjson.loads(command.input)["round"] for command in play.commands]


def test_rule_8_rounds_go_on_until_the_guard_holds_and_the_last_output_is_kept() -> None:
    play = given(POLL % UNTIL)
    assert play.complete("poll", {"done": True}) == ["command.completed", "command.issued"]
    assert play.commands[-1].available_at == BEGINNING + timedelta(seconds=10)
    play.complete("poll", {"done": True})
    assert rounds(play) == [1, 2]
    assert play.output == {"done": True}
    play.check_replay()


def test_rule_8_rounds_that_bring_nothing_about_exhaust_the_repeat() -> None:
    play = given(POLL % UNTIL)
    for _ in range(3):
        play.complete("poll", {"done": False})
    assert play.error["code"] == "repeat_exhausted"
    play.check_replay()


def test_rule_8_without_a_guard_the_step_is_done_so_many_times() -> None:
    play = given(POLL % "")
    for value in range(3):
        play.complete("poll", value)
    assert play.output == 2
    play.check_replay()


def test_rule_8_each_round_has_all_its_tries() -> None:
    play = given(POLL % "")
    for _ in range(3):
        assert play.fail("poll") == ["command.failed", "command.issued"]
        play.complete("poll", 1)
    assert rounds(play) == [1, 1, 2, 2, 3, 3]
    assert play.output == 1
    play.check_replay()


def test_the_state_of_a_repeat_does_not_grow_with_its_rounds() -> None:
    play = given((POLL % "").replace("max: 3, delay: 10s", "max: 100000"))
    sizes = []
    for size in (10, 500):
        while play.state.steps["poll"].iteration < size:
            play.complete("poll", 1)
        sizes.append(len(encode(play.state)))
    assert sizes[1] < sizes[0] + 20


def test_rule_8_a_retry_may_look_at_the_round() -> None:
    play = given(
        "{playbook: t/r, steps: [{name: a, tool: noop, repeat: {max: 2},"
        " retry: {max_attempts: 2, delay: 1s, on: iteration == 2}}]}"
    )
    play.complete("a")
    assert play.fail("a") == ["command.failed", "command.issued"]
    play.complete("a")
    assert play.types[-1] == "execution.completed"


LOOP = """
playbook: t/loop
steps:
  - {name: start, tool: noop}
  - {name: check, tool: noop}
  - name: decide
    tool: noop
    next:
      - {when: "steps.check.output == 'again'", step: check}
      - {when: "steps.check.output == 'stop'", step: end}
      - {default: done}
  - {name: done, tool: noop, needs: [decide, beside]}
  - {name: beside, tool: noop, needs: []}
"""


def test_rule_9_a_cycle_goes_on_as_next_says_and_a_new_visit_replaces_the_last() -> None:
    play = given(LOOP)
    play.complete("beside")
    play.complete("start")
    for _ in range(3):
        play.complete("check", "again")
        assert play.open_steps == ["decide"], "the join behind the cycle waits until it is left"
        assert play.complete("decide") == ["command.completed", "step.completed", "command.issued"]
    assert play.state.steps["check"].visits == 3
    play.complete("check", "go on")
    play.complete("decide")
    assert play.open_steps == ["done"]
    play.complete("done")
    assert play.types[-1] == "execution.completed"
    play.check_replay()


def test_rule_9_a_cycle_that_is_left_nowhere_ends_its_branch() -> None:
    play = given(LOOP)
    play.complete("start")
    play.complete("check", "stop")
    play.complete("decide")
    play.complete("beside")
    assert play.open_steps == ["done"]


def test_rule_9_a_thousand_visits_are_the_limit() -> None:
    play = given(LOOP)
    play.complete("start")
    while not play.state.is_ended:
        play.complete("check", "again")
        play.complete("decide")
    assert play.error["code"] == "loop_limit"
    assert play.types.count("command.issued") == 2 + 1_000 + 1_000


SKIPPED = """
playbook: t/skipped
steps:
  - {name: choose, tool: noop, next: [{when: "false", step: one}, {default: end}]}
  - {name: one, tool: noop}
  - {name: two, tool: noop, next: [{when: "true", step: one}, {default: last}]}
  - {name: last, tool: noop}
"""


def test_rule_9_a_cycle_that_is_not_entered_is_skipped_whole() -> None:
    play = given(SKIPPED)
    play.complete("choose")
    assert {name: step.status for name, step in play.state.steps.items()} == {
        "choose": StepStatus.COMPLETED,
        "one": StepStatus.SKIPPED,
        "two": StepStatus.SKIPPED,
        "last": StepStatus.SKIPPED,
    }
    assert play.types[-1] == "execution.completed"
    play.check_replay()


def test_rule_9_what_joins_a_cycle_waits_until_it_is_left() -> None:
    play = given("""
playbook: t/beside
steps:
  - {name: first, tool: noop}
  - {name: again, tool: noop, next: [{when: "steps.again.output == 'more'", step: check}, {default: meet}]}
  - {name: check, tool: noop, next: again}
  - {name: beside, tool: noop, needs: []}
  - {name: meet, tool: noop, needs: [again, beside]}
""")
    play.complete("first")
    play.complete("again", "more")
    play.complete("check")
    play.complete("beside")
    assert play.open_steps == ["again"]
    play.complete("again", "enough")
    assert play.open_steps == ["meet"]
    play.check_replay()


BETWEEN = """
playbook: t/between
steps:
  - {name: first, tool: noop}
  - {name: entry, tool: noop, when: "false"}
  - name: choose
    tool: noop
    when: "false"
    next:
      - {when: "steps.again.status == 'completed' && steps.again.output == 'stop'", step: meet}
      - {default: again}
  - {name: again, wait: {event: go, timeout: 1h}, next: entry}
  - {name: meet, tool: noop, needs: [choose, late%d]}
  - {name: late0, tool: noop, when: "false", needs: [first]}
"""
LATE = '  - {name: late%d, tool: noop, when: "false", needs: [late%d]}\n'


@pytest.mark.parametrize("late", range(8))
def test_rule_9_a_join_is_not_decided_between_two_visits_of_a_cycle(late: int) -> None:
    play = given(BETWEEN % late + "".join(LATE % (each, each - 1) for each in range(1, late + 1)))
    play.signal("go", "on")
    play.complete("first")
    assert play.state.steps["again"].visits == 1
    assert play.state.status_of("meet") is StepStatus.PENDING
    play.signal("go", "stop")
    assert play.open_steps == ["meet"]
    play.check_replay()
