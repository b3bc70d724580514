"""Rule 16: a retry begins again what failed or was cancelled, and leaves alone what was done."""

from __future__ import annotations

import pytest

from engine.domain.effects import MoveDeadline
from engine.domain.events import iso
from engine.domain.expression import ExpressionFailed
from engine.domain.vocabulary import EventType, ExecutionStatus, StepStatus
from tests.support.play import Play, given

REOPENED = EventType.EXECUTION_REOPENED

LINE = """
playbook: t/line
steps:
  - {name: a, tool: noop}
  - {name: b, tool: noop, retry: {max_attempts: 2, delay: 0s}}
  - {name: c, tool: noop, with: {of: "${ steps.b.output }"}}
output: "${ steps.c.output }"
"""


def failed() -> Play:
    play = given(LINE)
    play.complete("a")
    play.fail("b")
    assert play.fail("b")[-1] == "execution.failed"
    return play


def test_the_failed_step_begins_again_with_all_its_tries_and_the_rest_follows() -> None:
    play = failed()
    play.pass_time(60)
    assert play.reopen() == ["execution.reopened", "command.issued"]
    assert play.state.status is ExecutionStatus.RUNNING
    assert (play.state.ended_at, play.state.error) == (None, None)
    assert play.log[-1].attempt == 3
    play.fail("b")
    play.complete("b", 7)
    assert play.commands[-1].input == b'{"of":7}'
    assert play.complete("c", 8)[-1] == "execution.completed"
    assert play.output == 8
    assert [kind for kind in play.types if kind in {"execution.failed", "execution.completed"}] == [
        "execution.failed",
        "execution.completed",
    ]
    assert play.types.count("step.completed") == 3
    play.check_replay()


def test_it_may_fail_and_be_retried_any_number_of_times() -> None:
    play = failed()
    for _ in range(3):
        play.reopen()
        play.fail("b")
        assert play.fail("b")[-1] == "execution.failed"
        assert play.open_timers == set()
    assert play.types.count("execution.failed") == play.types.count("execution.reopened") + 1
    play.check_replay()


def test_the_deadline_is_a_fresh_one_with_its_timer() -> None:
    play = failed()
    play.pass_time(60)
    play.reopen(seconds=600)
    assert play.state.deadline is not None
    assert (play.state.deadline - play.now).total_seconds() == 600
    assert MoveDeadline(play.state.execution_id, play.state.deadline) in play.effects
    assert play.open_timers == {"execution"}
    assert play.fire("execution")[-1] == "execution.timed_out"
    assert play.reopen()[-1] == "command.issued"
    play.check_replay()


PARALLEL = """
playbook: t/parallel
steps:
  - {name: work, tool: noop, needs: []}
  - {name: ask, needs: [], wait: {event: go, timeout: 1h}}
  - {name: child, needs: [], tool: playbook, with: {playbook: t/child}}
  - {name: each, needs: [], tool: noop, map: {items: "${ [1, 2, 3] }", max_in_flight: 2}}
  - {name: round, needs: [], tool: noop, repeat: {max: 2}}
  - {name: all, tool: noop, needs: [work, ask, child, each, round]}
"""


def test_whatever_was_cancelled_in_flight_begins_anew() -> None:
    play = given(PARALLEL)
    play.complete("each[0]")
    play.complete("round")
    play.signal("other")
    first_child = play.state.steps["child"].child_id
    play.cancel()
    assert play.open_timers == set()
    issued = play.reopen()[1:]
    assert sorted(issued) == [
        *("child.started", "command.issued", "command.issued", "command.issued", "command.issued"),
        *("map.opened", "wait.opened"),
    ]
    assert play.state.steps["child"].child_id != first_child
    assert sorted(play.open_steps) == ["each[0]", "each[1]", "round", "work"]
    assert play.state.steps["round"].iteration == 1
    play.complete("work")
    play.signal("go")
    play.end_child("child")
    for item in range(3):
        play.complete(f"each[{item}]")
    play.complete("round")
    assert play.state.status_of("all") is StepStatus.PENDING
    assert play.complete("round")[-1] == "command.issued"
    assert play.complete("all")[-1] == "execution.completed"
    play.check_replay()


def test_a_signal_that_came_early_is_still_there() -> None:
    play = given("""
playbook: t/early
steps:
  - {name: a, tool: noop}
  - {name: ask, wait: {event: go, timeout: 1h}}
""")
    play.signal("go", 5)
    play.fail("a")
    play.reopen()
    assert play.complete("a")[-1] == "execution.completed"
    assert play.state.mailbox == {}
    play.check_replay()


FORK = """
playbook: t/fork
steps:
  - {name: load, tool: noop}
  - {name: root, tool: noop}
  - {name: bad, needs: [root], tool: noop, with: {n: "${ steps.load.output.n }"}}
  - {name: left, needs: [root], tool: noop, when: "false"}
  - {name: behind, needs: [left], tool: noop}
  - {name: both, needs: [left, bad], tool: noop}
"""


@pytest.mark.parametrize("order", [("bad", "left"), ("left", "bad")])
def test_what_the_end_came_before_is_made_up_for(order: tuple[str, str]) -> None:
    """A step fails and another is skipped in one decision: a retry looks behind the skipped one too.

    The join behind both waits for the failed one, which only the retry decides.
    """
    lines = {name: line for line in FORK.splitlines() for name in order if f"name: {name}," in line}
    source = FORK.replace(f"{lines['bad']}\n{lines['left']}", "\n".join(lines[name] for name in order))
    play = given(source)
    play.complete_large("load", {"n": 1})
    (uri,) = play.payloads
    known, play.payloads[uri] = play.payloads[uri], ExpressionFailed("payload_missing", "it is gone")
    assert play.complete("root")[-1] == "execution.failed"
    assert play.state.status_of("left") is StepStatus.SKIPPED
    assert "both" not in play.state.steps
    play.payloads[uri] = known
    play.reopen()
    assert sorted(play.open_steps) == ["bad", "behind"]
    play.complete("behind")
    play.complete("bad")
    assert play.complete("both")[-1] == "execution.completed"
    play.check_replay()


CYCLE = """
playbook: t/cycle
steps:
  - {name: draft, tool: noop, repeat: {max: 2}}
  - {name: review, tool: noop, next: [{when: "steps.review.output == 'again'", step: draft}, {default: done}]}
  - {name: done, tool: noop}
"""


def test_a_cycle_goes_on_where_it_failed() -> None:
    play = given(CYCLE)
    for answer in ("again", "again"):
        play.complete("draft")
        play.complete("draft")
        play.complete("review", answer)
    play.complete("draft")
    play.cancel()
    assert play.reopen() == ["execution.reopened", "command.issued"]
    play.fail("draft")
    assert play.reopen() == ["execution.reopened", "command.issued"]
    assert play.open_steps == ["draft"]
    assert play.state.steps["draft"].iteration == 1
    play.complete("draft")
    play.complete("draft")
    play.fail("review")
    assert play.reopen() == ["execution.reopened", "command.issued"]
    assert play.open_steps == ["review"]
    assert play.complete("review", "fine")[-1] == "command.issued"
    play.fail("done")
    assert play.reopen() == ["execution.reopened", "command.issued"]
    assert play.complete("done")[-1] == "execution.completed"
    play.check_replay()


def test_each_visit_of_a_cycle_has_all_the_rounds_of_a_repeat() -> None:
    play = given(CYCLE)
    for _ in range(2):
        play.complete("draft")
        assert play.state.status_of("review") is not StepStatus.QUEUED
        play.complete("draft")
        play.complete("review", "again")
    assert play.types.count("command.issued") == 7


def test_what_cannot_be_retried_is_refused_with_why() -> None:
    fresh = {"deadline": iso(given(LINE).now)}
    play = given(LINE)
    assert play.admit(REOPENED, fresh).code == "not_ended"
    for step in "abc":
        play.complete(step)
    assert play.admit(REOPENED, fresh).code == "terminal_execution"
    child = Play(play.definition)
    child.start(parent={"execution_id": "7", "step": "s", "depth": 1})
    child.cancel()
    assert child.admit(REOPENED, fresh).code == "has_parent"
    empty = given("{playbook: t/o, steps: [{name: a, tool: noop}], output: '${ steps.a.output.x }'}")
    empty.complete("a", {})
    assert empty.error["code"] == "output_error"
    assert empty.admit(REOPENED, fresh).code == "no_failed_step"


@pytest.mark.parametrize(
    ("step", "code"), [("b", ""), ("a", "not_failed"), ("c", "not_failed"), ("x", "not_failed")]
)
def test_a_step_that_is_named_must_be_one_that_failed(step: str, code: str) -> None:
    refused = failed().admit(REOPENED, {"step": step})
    assert refused.code == code
    assert not code or refused.detail.endswith("a retry begins b")


def test_what_was_undone_is_not_retried() -> None:
    play = given("""
playbook: t/saga
steps:
  - {name: a, tool: noop, compensate: {tool: noop}}
  - {name: b, tool: noop}
""")
    play.complete("a")
    play.fail("b")
    play.complete("a!")
    assert play.state.phase is ExecutionStatus.FAILED
    assert play.admit(REOPENED).code == "compensated"


def test_a_late_result_of_the_run_before_changes_nothing() -> None:
    play = given(LINE)
    old = play.open_command("a").command_id
    play.cancel()
    play.reopen()
    late = play.admit("command.completed", {"data": 1}, command_id=old, lease_token=1)
    assert late.event is not None
    assert play.enter(late) == ["command.late"]
    assert play.open_steps == ["a"]
