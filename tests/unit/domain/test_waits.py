"""Rule 11: waits are satisfied by signals, early ones too, or end by their time-out."""

import pytest

from engine.domain.admit import Verdict
from engine.domain.execution import Pointer
from engine.domain.vocabulary import EventType, ExecutionStatus
from tests.support.play import given

APPROVAL = """
playbook: t/approval
steps:
  - {name: ask, tool: noop}
  - {name: approve, wait: {event: approved, timeout: 1h, on_timeout: reject}}
  - {name: publish, tool: noop, next: end}
  - {name: reject, tool: noop}
output: "${ steps.approve.status }"
"""


def test_rule_11_a_signal_satisfies_the_wait_and_is_its_output() -> None:
    play = given(APPROVAL)
    assert play.complete("ask")[-1] == "wait.opened"
    assert play.state.status is ExecutionStatus.WAITING
    assert play.signal("approved", {"by": "ada"}) == [
        "signal.received",
        "wait.satisfied",
        "step.completed",
        "step.skipped",
        "command.issued",
    ] or play.types[-5:] == [
        "signal.received",
        "wait.satisfied",
        "step.completed",
        "command.issued",
        "step.skipped",
    ]
    play.complete("publish")
    assert play.output == "completed"
    play.check_replay()


def test_rule_11_an_early_signal_is_kept_and_consumed_when_the_wait_opens() -> None:
    play = given(APPROVAL)
    assert play.signal("approved") == ["signal.received"]
    assert "wait.satisfied" in play.complete("ask")
    play.check_replay()


def test_rule_11_signals_of_a_name_are_consumed_first_in_first_out() -> None:
    play = given(
        """
playbook: t/two
steps:
  - {name: one, wait: {event: go, timeout: 1h}}
  - {name: two, wait: {event: go, timeout: 1h}}
output: "${ [steps.one.output, steps.two.output] }"
"""
    )
    play.signal("go", "a")
    play.signal("go", "b")
    assert play.output == ["a", "b"]
    play.check_replay()


def test_rule_11_the_time_out_goes_to_the_named_step() -> None:
    play = given(APPROVAL)
    play.complete("ask")
    play.fire("approve:wait")
    assert play.open_steps == ["reject"]
    play.complete("reject")
    assert play.output == "skipped"
    play.check_replay()


def test_rule_11_a_time_out_that_skips_goes_on_as_next_says() -> None:
    play = given("""
playbook: t/skip
steps:
  - name: ask
    wait: {event: go, timeout: 1h, on_timeout: skip}
    next: [{when: "steps.ask.status == 'completed'", step: gone}, {default: later}]
  - {name: gone, tool: noop, next: end}
  - {name: later, tool: noop}
""")
    play.fire("ask:wait")
    assert play.open_steps == ["later"]
    play.check_replay()


@pytest.mark.parametrize(
    ("at", "code"), [("2026-01-01T00:59:00Z", ""), ("2026-01-01T01:01:00Z", "wait_timeout")]
)
def test_rule_11_a_moment_beyond_the_time_out_is_not_waited_for(at: str, code: str) -> None:
    source = "{playbook: t/x, steps: [{name: a, wait: {until: \"'AT'\", timeout: 1h}}]}"
    play = given(source.replace("AT", at))
    play.check_replay()
    play.fire("a:wait")
    assert play.state.is_ended
    assert code in str(play.log[-1].payload)
    assert (play.types[-1] == "execution.failed") is bool(code)
    play.check_replay()


def test_rule_11_the_time_out_fails_by_default() -> None:
    play = given("{playbook: t/x, steps: [{name: a, wait: {event: go, timeout: 1m}}]}")
    play.fire("a:wait")
    assert play.error["code"] == "wait_timeout"


def test_a_duration_wait_completes_when_its_time_has_come() -> None:
    play = given("{playbook: t/x, steps: [{name: a, wait: {for: 90s}}]}")
    assert play.fire("a:wait") == ["timer.fired", "wait.satisfied", "step.completed", "execution.completed"]
    play.check_replay()


def test_a_timer_before_its_time_and_one_that_nobody_waits_for_change_nothing() -> None:
    play = given(APPROVAL)
    play.complete("ask")
    assert play.admit(EventType.TIMER_FIRED, {"timer": "approve:wait"}).verdict is Verdict.UNCHANGED
    play.signal("approved")
    late = play.admit(EventType.TIMER_FIRED, {"timer": "approve:wait"})
    assert late.verdict is Verdict.UNCHANGED
    assert late.effects


def test_rule_11_the_mailbox_of_a_name_holds_a_thousand_signals() -> None:
    play = given("{playbook: t/x, steps: [{name: a, tool: noop}]}")
    for _ in range(1000):
        play.signal("go")
    refused = play.admit(EventType.SIGNAL_RECEIVED, {"name": "go", "data": None})
    assert refused.code == "mailbox_full"


def test_two_waits_that_open_together_share_no_signal() -> None:
    play = given(
        """
playbook: t/share
steps:
  - {name: a, tool: noop}
  - {name: b, wait: {event: go, timeout: 1h}, needs: [a]}
  - {name: c, wait: {event: go, timeout: 1h}, needs: [a]}
output: "${ [steps.b.output, steps.c.output] }"
"""
    )
    play.signal("go", 1)
    assert play.complete("a").count("wait.satisfied") == 1
    assert play.signal("go", 2)[-1] == "execution.completed"
    assert play.output == [1, 2]
    play.check_replay()


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-05:00", "soon", "2026-01-01T00:00:00", "12"])
def test_a_moment_that_is_none_fails_the_step_and_nothing_else(at: str) -> None:
    source = "{playbook: t/x, inputs: {at: {type: string}}, steps: [{name: a, wait: {until: inputs.at}}]}"
    play = given(source, at=at)
    assert play.error["code"] == "expression_error"
    play.check_replay()


def test_the_deadline_of_a_waiting_step_ends_it() -> None:
    play = given("{playbook: t/x, steps: [{name: a, wait: {event: go, timeout: 1h}, deadline: 1m}]}")
    assert play.fire("a:deadline") == ["timer.fired", "step.failed", "execution.failed"]
    assert play.open_timers == set()
    play.check_replay()


def test_signals_of_too_many_names_are_refused() -> None:
    play = given("{playbook: t/x, steps: [{name: a, tool: noop}]}")
    for number in range(100):
        play.signal(f"go-{number}")
    refused = play.admit(EventType.SIGNAL_RECEIVED, {"name": "another", "data": None})
    assert refused.code == "mailbox_full"


def test_signals_of_all_names_together_are_refused_beyond_two_thousand() -> None:
    play = given("{playbook: t/x, steps: [{name: a, tool: noop}]}")
    play.state.mailbox = {f"go-{number}": [Pointer(1, 1)] * 500 for number in range(4)}
    refused = play.admit(EventType.SIGNAL_RECEIVED, {"name": "go-1", "data": None})
    assert (refused.code, refused.detail) == ("mailbox_full", "2000 signals wait already")
    play.state.mailbox["go-1"] = [Pointer(1, 1)]
    assert play.admit(EventType.SIGNAL_RECEIVED, {"name": "go-1", "data": None}).verdict is Verdict.RECORDED
