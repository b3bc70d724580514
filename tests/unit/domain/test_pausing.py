"""Rules 14 to 16: what a pause holds back, and a cancel that first undoes what was done."""

from __future__ import annotations

import pytest

from engine.domain.admit import Verdict
from engine.domain.effects import Deliver, HoldCommands, ReleaseCommands
from engine.domain.vocabulary import EventType, ExecutionStatus
from tests.support.play import Play, given

TWO = "{playbook: t/two, steps: [{name: a, tool: noop}, {name: b, tool: noop}]}"
ASKING = """
playbook: t/asking
steps:
  - {name: ask, wait: {event: go, timeout: 1h}}
  - {name: act, tool: noop}
"""
SAGA = """
playbook: t/saga
steps:
  - {name: done, tool: noop, compensate: {tool: noop}}
  - {name: child, tool: playbook, with: {playbook: t/child}}
"""
PAUSE, RESUME = EventType.EXECUTION_PAUSED, EventType.EXECUTION_RESUMED
CANCELLING = EventType.EXECUTION_CANCELLING


def test_rule_16_a_result_is_recorded_while_paused_and_the_next_command_waits() -> None:
    play = given(TWO)
    assert play.pause() == ["execution.paused"]
    assert HoldCommands(play.state.execution_id) in play.effects
    assert play.complete("a") == ["command.completed", "step.completed", "command.issued"]
    assert play.commands[-1].held
    assert play.state.status == "paused"
    assert play.resume() == ["execution.resumed"]
    assert ReleaseCommands(play.state.execution_id) in play.effects
    assert play.state.status == "running"
    assert play.complete("b")[-1] == "execution.completed"
    play.check_replay()


def test_rule_16_signals_timers_and_deadlines_go_on_while_paused() -> None:
    play = given(ASKING)
    play.pause()
    assert play.signal("go") == ["signal.received", "wait.satisfied", "step.completed", "command.issued"]
    assert play.commands[-1].held
    late = given(ASKING)
    late.pause()
    assert late.fire("ask:wait")[-1] == "execution.failed"


def test_to_pause_and_to_resume_once_more_changes_nothing() -> None:
    play = given(TWO)
    assert play.admit(RESUME).verdict is Verdict.UNCHANGED
    play.pause()
    again = play.admit(PAUSE)
    assert (again.verdict, again.effects) == (Verdict.UNCHANGED, ())


@pytest.mark.parametrize("kind", [PAUSE, RESUME])
def test_what_has_ended_is_neither_paused_nor_resumed(kind: EventType) -> None:
    play = given(TWO)
    play.cancel()
    assert play.admit(kind).code == "terminal_execution"


def compensating() -> Play:
    play = given(SAGA)
    play.complete("done")
    assert play.cancel("enough", compensate=True) == [
        "execution.cancelling",
        "compensation.started",
        "command.issued",
    ]
    return play


def test_rule_14_a_cancel_with_compensation_undoes_first_and_then_ends() -> None:
    play = compensating()
    assert play.state.status is ExecutionStatus.COMPENSATING
    assert play.complete("done!") == ["command.completed", "compensation.completed", "execution.cancelled"]
    assert play.log[-1].payload == {"reason": "enough", "compensation": "complete"}
    assert play.state.compensation == "complete"
    assert play.open_timers == set()
    play.check_replay()


def test_rule_14_a_cancel_whose_compensation_failed_says_so() -> None:
    play = compensating()
    while play.state.phase is ExecutionStatus.COMPENSATING:
        play.fail("done!")
    assert play.log[-1].payload == {"reason": "enough", "compensation": "incomplete"}


def test_rule_14_with_nothing_to_undo_the_compensation_is_complete_at_once() -> None:
    play = given(SAGA)
    assert play.cancel(compensate=True) == ["execution.cancelling", "execution.cancelled"]
    assert play.state.compensation == "complete"


def test_rule_15_compensation_is_neither_cancelled_nor_paused_nor_told() -> None:
    play = compensating()
    for kind in (EventType.EXECUTION_CANCELLED, PAUSE, RESUME, EventType.SIGNAL_RECEIVED):
        assert play.admit(kind, {"name": "go"}).code == "compensating", kind
    assert play.admit(CANCELLING, {"outcome": "cancelled"}).verdict is Verdict.UNCHANGED
    play.complete("done!")
    assert play.admit(CANCELLING, {"outcome": "cancelled"}).verdict is Verdict.UNCHANGED


def test_rule_15_a_cancel_meets_the_compensation_of_a_failure() -> None:
    play = given(SAGA)
    play.complete("done")
    play.end_child("child", "failed")
    assert play.state.phase is ExecutionStatus.COMPENSATING
    assert play.admit(CANCELLING, {"outcome": "cancelled"}).code == "compensating"


def test_a_compensation_that_begins_while_paused_does_not_wait() -> None:
    play = given(SAGA)
    play.complete("done")
    play.pause()
    play.end_child("child", "failed")
    assert play.state.status is ExecutionStatus.COMPENSATING
    assert not play.commands[-1].held


@pytest.mark.parametrize("compensate", [True, False])
def test_rule_14_children_are_cancelled_as_their_parent_is(compensate: object) -> None:
    play = given(SAGA)
    play.complete("done")
    play.cancel(compensate=bool(compensate))
    told = [effect for effect in play.effects if isinstance(effect, Deliver) and effect.kind == "cancel"]
    assert [effect.payload for effect in told] == [{"compensate": compensate}]
