"""Names of events and statuses are storage format: they may be added to, never changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.events import RecordedEvent, from_json, to_json
from engine.domain.evolve import CASES, VersionGap, evolve
from engine.domain.execution import initial
from engine.domain.vocabulary import (
    EVENT_STATUS,
    RESERVED_PREFIXES,
    RESERVED_TYPES,
    EventType,
    ExecutionStatus,
    StepStatus,
)
from engine.errors import NewerEngine
from tests.support.play import BEGINNING, given

GOLDEN = Path(__file__).with_name("vocabulary.golden")


def test_every_name_on_record_is_still_there_with_its_status() -> None:
    now = {
        *(f"event {kind.value} {EVENT_STATUS[kind]}" for kind in EventType),
        *(f"reserved {name}" for name in RESERVED_TYPES),
        *(f"reserved {prefix}*" for prefix in RESERVED_PREFIXES),
        *(f"execution {status.value}" for status in ExecutionStatus),
        *(f"step {status.value}" for status in StepStatus),
    }
    assert now == set(GOLDEN.read_text().splitlines())


def test_rule_18_statuses_are_lower_case_and_only_those_of_events_upper_case() -> None:
    executions = "pending running waiting paused compensating completed failed cancelled timed_out"
    steps = "pending queued running waiting retrying completed failed skipped cancelled"
    assert [status.value for status in ExecutionStatus] == executions.split()
    assert [status.value for status in StepStatus] == steps.split()
    assert all(status.isupper() for status in EVENT_STATUS.values())


def event(event_type: str, version: int = 1) -> RecordedEvent:
    return RecordedEvent(
        execution_id=1,
        version=version,
        event_id=1,
        event_type=event_type,
        status="RUNNING",
        created_at=BEGINNING,
        recorded_at=BEGINNING,
    )


@pytest.mark.parametrize("kind", sorted(set(EventType) - set(CASES)))
def test_a_type_that_only_a_newer_build_writes_is_refused_instead_of_folded_wrongly(kind: EventType) -> None:
    with pytest.raises(NewerEngine, match=kind.value):
        evolve(initial(1, b"x" * 32), event(kind.value))


def test_an_event_that_is_not_the_next_one_is_a_gap() -> None:
    with pytest.raises(VersionGap):
        evolve(initial(1, None), event("order.noted", version=2))


def test_events_survive_their_json() -> None:
    play = given("{playbook: t/x, steps: [{name: a, tool: noop}]}")
    play.complete("a", {"x": [1, 2.5, None, "ä"]})
    for recorded in play.log:
        assert from_json(recorded.execution_id, to_json(recorded)) == recorded
