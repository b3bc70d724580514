"""Rule 7 and lost workers: which failures are tried again, when, and how often."""

from datetime import timedelta

import pytest

from engine.domain.attempts import retry_delay
from engine.domain.definition import Retry
from engine.domain.effects import Deliver
from engine.domain.execution import Slot, Unit
from engine.domain.vocabulary import ExecutionStatus, StepStatus
from tests.support.play import BEGINNING, given

RETRYING = """
playbook: t/retry
steps:
  - name: a
    tool: noop
    with: {attempt: "${ attempt }"}
    retry: {max_attempts: 3, delay: 10s, backoff: 2, max_delay: 15s, on: "error.code == 'busy'"}
"""


def test_a_failed_attempt_is_issued_again_after_its_delay() -> None:
    play = given(RETRYING)
    assert play.fail("a", "busy") == ["command.failed", "command.issued"]
    assert play.state.status_of("a") is StepStatus.RETRYING
    assert play.commands[-1].available_at == BEGINNING + timedelta(seconds=10)
    assert play.commands[-1].input == b'{"attempt":2}'
    play.fail("a", "busy")
    assert play.commands[-1].available_at == BEGINNING + timedelta(seconds=15)
    assert play.fail("a", "busy") == ["command.failed", "step.failed", "execution.failed"]
    assert play.error["attempt"] == 3
    play.check_replay()


def test_an_error_that_on_refuses_is_final() -> None:
    play = given(RETRYING)
    assert play.fail("a", "broken")[-1] == "execution.failed"


def test_the_delay_is_recorded_with_the_command() -> None:
    play = given(RETRYING)
    play.fail("a", "busy")
    payload = play.log[-1].payload
    assert isinstance(payload, dict)
    assert payload["delay_seconds"] == 10.0
    assert payload["available_at"] == "2026-01-01T00:00:10.000000Z"


@pytest.mark.parametrize("code", ["validation", "not_allowed", "output_too_large", "cancelled"])
def test_without_on_permanent_errors_are_not_retried(code: str) -> None:
    play = given("{playbook: t/x, steps: [{name: a, tool: noop, retry: {max_attempts: 5}}]}")
    assert play.fail("a", code)[-1] == "execution.failed"


def test_jitter_stays_inside_its_share_and_differs_between_executions() -> None:
    retry = Retry(max_attempts=9, delay=10, jitter=0.2)
    delays = {
        retry_delay(retry, Unit(attempt=1, failures=1), execution_id, Slot("a"))
        for execution_id in range(200)
    }
    assert len(delays) > 150
    assert all(8 <= delay <= 12 for delay in delays)


def test_a_lost_worker_uses_up_no_try_and_the_third_loss_in_a_row_is_final() -> None:
    play = given("{playbook: t/x, steps: [{name: a, tool: noop}]}")
    assert play.lose("a") == ["command.expired", "command.issued"]
    assert play.lose("a") == ["command.expired", "command.issued"]
    assert play.lose("a") == ["command.expired", "step.failed", "execution.failed"]
    assert play.error["code"] == "worker_lost"
    play.check_replay()


def test_on_lost_fail_gives_up_at_the_first_loss() -> None:
    play = given("{playbook: t/x, steps: [{name: a, tool: noop, retry: {on_lost: fail}}]}")
    assert play.lose("a")[-1] == "execution.failed"


def test_the_step_deadline_ends_a_step_that_is_still_retrying() -> None:
    play = given(
        "{playbook: t/x, steps: [{name: a, tool: noop, deadline: 30s, retry: {max_attempts: 9, delay: 20s}}]}"
    )
    play.fail("a")
    assert play.fire("a:deadline") == ["timer.fired", "step.failed", "execution.failed"]
    assert play.error["code"] == "deadline_exceeded"
    assert play.open_steps == []
    play.check_replay()


def test_the_execution_deadline_times_the_execution_out() -> None:
    play = given("{playbook: t/x, steps: [{name: a, tool: noop}]}")
    play.state.deadline = BEGINNING + timedelta(hours=1)
    assert play.fire("execution") == ["timer.fired", "execution.timed_out"]
    assert play.state.phase is ExecutionStatus.TIMED_OUT


def test_a_delay_that_no_number_can_hold_is_the_longest_allowed() -> None:
    retry = Retry(max_attempts=1000, delay=1, backoff=100, max_delay=60)
    assert retry_delay(retry, Unit(attempt=900, failures=900), 1, Slot("a")) == 60


def test_no_delay_stays_none_however_often_it_grows() -> None:
    retry = Retry(max_attempts=1000, delay=0, backoff=100, max_delay=60)
    assert retry_delay(retry, Unit(attempt=900, failures=900), 1, Slot("a")) == 0


CHILD = """
playbook: t/parent
steps:
  - name: a
    tool: playbook
    with: {playbook: t/other}
    retry: {max_attempts: 2, delay: 30s}
    deadline: 1h
"""


def test_a_child_that_failed_is_started_again_after_the_delay() -> None:
    play = given(CHILD)
    assert play.end_child("a", "failed") == ["child.completed", "timer.set"]
    assert play.state.status_of("a") is StepStatus.RETRYING
    assert play.fire("a:retry") == ["timer.fired", "child.started"]
    assert play.end_child("a") == ["child.completed", "step.completed", "execution.completed"]
    assert play.open_timers == set()
    play.check_replay()


def test_the_deadline_of_a_step_cancels_its_child() -> None:
    play = given(CHILD)
    play.fire("a:deadline")
    assert [effect.kind for effect in play.effects if isinstance(effect, Deliver)] == ["start", "cancel"]
    assert play.error["code"] == "deadline_exceeded"
    play.check_replay()
