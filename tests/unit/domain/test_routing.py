"""What a step's own `next` sees of it: what it is about to be, however it settles."""

import pytest

from engine.domain.vocabulary import StepStatus
from tests.support.play import Play, given

ROUTED = """
playbook: t/routed
steps:
  - name: a
    tool: noop
    on_error: [{then: %s}]
    next: [{when: "%s", step: as_seen}, {default: otherwise}]
  - {name: as_seen, tool: noop, next: end}
  - {name: otherwise, tool: noop}
"""


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ("continue", "steps.a.status == 'failed'"),
        ("continue", "steps.a.error.code == 'boom'"),
        ("skip", "steps.a.status == 'skipped' && steps.a.error == null"),
    ],
)
def test_a_step_whose_failure_is_answered_routes_by_how_it_settles(answer: str, seen: str) -> None:
    play = given(ROUTED % (answer, seen))
    play.fail("a")
    assert play.open_steps == ["as_seen"]
    play.check_replay()


def test_a_wait_that_is_skipped_at_its_time_out_routes_as_skipped() -> None:
    play = given("""
playbook: t/routed
steps:
  - name: a
    wait: {event: go, timeout: 1h, on_timeout: skip}
    next: [{when: "steps.a.status == 'skipped'", step: as_seen}, {default: otherwise}]
  - {name: as_seen, tool: noop, next: end}
  - {name: otherwise, tool: noop}
""")
    play.fire("a:wait")
    assert play.open_steps == ["as_seen"]


AGAIN = """
playbook: t/again
steps:
  - {name: entry, tool: noop}
  - name: a
    when: "steps.entry.output == 1"
    tool: noop
    %s
    next: [{when: "%s", step: back}, {default: out}]
  - {name: back, tool: noop, next: entry}
  - {name: out, tool: noop}
"""


def second_visit_skipped(source: str) -> Play:
    play = given(source)
    play.complete("entry", 1)
    return play


def test_a_step_that_its_guard_skips_does_not_route_by_its_last_visit() -> None:
    play = second_visit_skipped(AGAIN % ("", "steps.a.status == 'completed'"))
    play.complete("a")
    play.complete("back")
    play.complete("entry", 2)
    assert play.open_steps == ["out"]
    assert play.state.status_of("a") is StepStatus.SKIPPED
    play.check_replay()


def test_a_skipped_map_has_no_errors_of_its_last_visit() -> None:
    mapped = "map: {items: [1], on_item_error: continue}"
    play = second_visit_skipped(AGAIN % (mapped, "size(steps.a.errors) == 1"))
    play.fail("a[0]")
    play.complete("back")
    play.complete("entry", 2)
    assert play.open_steps == ["out"]
    play.check_replay()
