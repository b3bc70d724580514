"""The `timeout` of a step that starts a child is the child's deadline, where its own is later."""

from __future__ import annotations

import pytest

from engine.domain.effects import Deliver
from playlog.testing import given as scenario
from playlog.testing import takes
from tests.support.play import given

PARENT = """
playbook: t/parent
steps: [{name: a, tool: playbook, with: {playbook: t/child}%s}]
"""
CHILD = "{playbook: t/child, deadline: 2h, steps: [{name: w, wait: {event: go, timeout: 100m}}]}"
LIMITED = ", timeout: 1m, retry: {max_attempts: 2, delay: 1s}"


@pytest.mark.parametrize(("written", "seconds"), [("", None), (", timeout: 1m", 60.0)])
def test_a_written_timeout_goes_with_the_order_to_start(written: str, seconds: float | None) -> None:
    play = given(PARENT % written)
    (start,) = (effect for effect in play.effects if isinstance(effect, Deliver))
    assert start.payload.get("deadline_seconds") == seconds


def test_an_attempt_whose_child_takes_too_long_has_failed_and_is_made_again() -> None:
    run = scenario(PARENT % LIMITED).with_playbook(CHILD).run()
    assert run.error is not None
    assert (run.status, run.error["code"], run.error["attempt"]) == ("failed", "child_timed_out", 2)
    assert run.elapsed.total_seconds() == 121


def test_a_scripted_child_has_no_more_time_than_a_real_one() -> None:
    run = scenario(PARENT % ", timeout: 1m").with_results(a=takes("2m", 1)).run()
    assert run.error is not None
    assert run.error["code"] == "child_timed_out"
