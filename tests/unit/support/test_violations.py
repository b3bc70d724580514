"""The checker's rules on logs in memory: each broken promise is seen, and a true story is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from tests.support import violations
from tests.support.ledger import Ledger, OutboxLease
from tests.support.violations import Event, Head, Kind, Log, Published, Violation

START = datetime(2026, 1, 1, tzinfo=UTC)
TYPES = ("execution.started", "command.issued", "command.completed", "execution.completed")
COMMAND = 70


def event(version: int, event_type: str, *, minutes: int | None = None, worker: str = "w1") -> Event:
    at = START + timedelta(minutes=version if minutes is None else minutes)
    command_id = COMMAND if event_type.startswith("command.") else None
    return Event(version, 100 + version, event_type, at, command_id, worker)


def log_of(*events: Event, head: Head | None = None) -> Log:
    log = Log()
    log.heads[1] = head or Head(len(events), is_ended=True, is_foreign=False)
    log.events[1] = list(events)
    return log


STORY = [event(version, kind) for version, kind in enumerate(TYPES, start=1)]
TRUE = log_of(*STORY)


def kinds(found: Iterable[Violation]) -> set[Kind]:
    return {each.kind for each in found}


def test_a_true_log_is_left_alone() -> None:
    assert kinds(violations.in_log(TRUE)) == set()


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        (log_of(*STORY[:2], head=Head(3, is_ended=False, is_foreign=False)), Kind.ORDER),
        (log_of(STORY[0], *STORY[2:]), Kind.ORDER),
        (log_of(*STORY[:3], event(4, TYPES[3], minutes=0)), Kind.ORDER),
        (log_of(*STORY[:3], STORY[2], head=Head(4, is_ended=False, is_foreign=False)), Kind.ORDER),
        (log_of(*STORY[:3]), Kind.TERMINAL),
        (log_of(*STORY, head=Head(4, is_ended=False, is_foreign=False)), Kind.TERMINAL),
        (log_of(*STORY, event(5, TYPES[3])), Kind.TERMINAL),
        (log_of(*STORY, event(5, TYPES[2])), Kind.TERMINAL),
    ],
)
def test_a_broken_log_is_seen(log: Log, kind: Kind) -> None:
    assert kind in kinds(violations.in_log(log))


def test_a_late_result_may_follow_the_end() -> None:
    assert kinds(violations.in_log(log_of(*STORY, event(5, "command.late")))) == set()


@pytest.mark.parametrize(("ids", "acknowledged"), [([101, 102], True), ([101], False), ([7, 8], False)])
def test_requests_that_are_wholly_in_or_out_are_fine(ids: list[int], *, acknowledged: bool) -> None:
    ledger = Ledger()
    ledger.ask(1, ids).acknowledged = acknowledged
    assert kinds(violations.in_answers(TRUE, ledger)) == set()


@pytest.mark.parametrize(("ids", "acknowledged"), [([101, 7], True), ([7], True), ([101, 7], False)])
def test_a_lost_or_half_recorded_request_is_seen(ids: list[int], *, acknowledged: bool) -> None:
    ledger = Ledger()
    ledger.ask(1, ids).acknowledged = acknowledged
    assert kinds(violations.in_answers(TRUE, ledger)) == {Kind.ACKNOWLEDGED}


def test_an_event_of_a_foreign_execution_that_nobody_sent_is_seen() -> None:
    ledger = Ledger()
    ledger.ask(1, [101])
    log = log_of(*STORY, head=Head(4, is_ended=False, is_foreign=True))
    assert kinds(violations.in_answers(log, ledger)) == {Kind.ACKNOWLEDGED}


def test_two_answers_to_one_key_are_seen() -> None:
    ledger = Ledger()
    ledger.answers["a"] = [1, 1]
    assert kinds(violations.in_answers(TRUE, ledger)) == set()
    ledger.answers["a"].append(2)
    assert kinds(violations.in_answers(TRUE, ledger)) == {Kind.ANSWER}


def test_a_result_that_is_missing_or_of_another_worker_is_seen() -> None:
    ledger = Ledger(holders={COMMAND: "w1"})
    ledger.results[COMMAND].add("w1")
    assert kinds(violations.in_results(TRUE, ledger)) == set()
    ledger.holders[COMMAND] = "w2"
    assert kinds(violations.in_results(TRUE, ledger)) == {Kind.LEASE}
    ledger.holders[COMMAND] = "w1"
    ledger.results[COMMAND].add("w2")
    assert kinds(violations.in_results(TRUE, ledger)) == {Kind.ACKNOWLEDGED}


@pytest.mark.parametrize(("since", "broken"), [(1, {Kind.LEASE}), (2, set()), (3, set())])
def test_a_message_in_two_hands_is_seen(since: int, broken: set[Kind]) -> None:
    hour = timedelta(hours=1)
    held = [OutboxLease(5, START, START + 2 * hour), OutboxLease(5, START + since * hour, START + 9 * hour)]
    assert kinds(violations.in_leases(held)) == broken


@pytest.mark.parametrize(
    ("spans", "broken"),
    [
        ([(1, 2), (3, 4)], set()),
        ([(1, 2), (1, 2), (3, 4), (1, 4)], set()),
        ([(1, 2)], {Kind.STREAM}),
        ([(3, 4), (1, 2), (3, 4)], {Kind.STREAM}),
        ([], {Kind.STREAM}),
    ],
)
def test_a_gap_in_the_stream_is_seen(spans: list[tuple[int, int]], broken: set[Kind]) -> None:
    stream = [Published(1, tuple((n, 100 + n) for n in range(low, high + 1))) for low, high in spans]
    assert kinds(violations.in_stream(TRUE, stream)) == broken


def test_another_event_in_the_stream_than_in_the_log_is_seen() -> None:
    stream = [Published(1, ((1, 101), (2, 102), (3, 103), (4, 999)))]
    assert kinds(violations.in_stream(TRUE, stream)) == {Kind.STREAM}


@pytest.mark.parametrize(
    ("versions", "drifted", "broken"),
    [
        ({1: 4}, [], set()),
        ({1: 3}, [], {Kind.SNAPSHOT}),
        ({}, [], {Kind.SNAPSHOT}),
        ({1: 4, 2: 1}, [], {Kind.SNAPSHOT}),
        ({1: 4}, [1], {Kind.SNAPSHOT}),
    ],
)
def test_a_snapshot_that_is_behind_or_untrue_is_seen(
    versions: dict[int, int], drifted: list[int], broken: set[Kind]
) -> None:
    assert kinds(violations.in_snapshots(TRUE, versions, drifted)) == broken


@pytest.mark.parametrize("now", [{1: 3}, {}])
def test_a_snapshot_that_loses_versions_is_seen_even_if_it_gets_them_back(now: dict[int, int]) -> None:
    ledger = Ledger()
    for versions in ({1: 3}, {1: 4}, {1: 4, 2: 1}):
        ledger.saw(versions)
    assert kinds(violations.in_sightings(ledger)) == set()
    ledger.saw(now)
    ledger.saw({1: 4, 2: 1})
    assert kinds(violations.in_sightings(ledger)) == {Kind.BACKWARDS}


def test_a_run_without_a_fault_or_without_work_proves_nothing() -> None:
    worked = Ledger()
    worked.ask(1, [101]).acknowledged = True
    assert kinds(violations.in_the_test(worked, TRUE, faults=1)) == set()
    assert kinds(violations.in_the_test(worked, TRUE, faults=0)) == {Kind.VACUOUS}
    assert kinds(violations.in_the_test(Ledger(), TRUE, faults=1)) == {Kind.VACUOUS}
    assert kinds(violations.in_the_test(worked, Log(), faults=1)) == {Kind.VACUOUS}
