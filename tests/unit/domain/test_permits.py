"""Who gets a permit of a concurrency key, for every strategy and order of coming."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from engine.domain.definition import Strategy
from engine.domain.ids import settled_event_id
from engine.domain.permits import Applicant, Line, Shares, share, withdrawal
from engine.domain.vocabulary import EventType
from tests.support.play import BEGINNING

REJECTED, CANCELLED = EventType.CONCURRENCY_REJECTED, EventType.COMMAND_CANCELLED


def applicant(
    number: int,
    strategy: Strategy = "queue",
    *,
    limit: int = 2,
    priority: int = 0,
    is_new: bool = True,
    is_ready: bool = True,
) -> Applicant:
    return Applicant(
        command_id=number,
        execution_id=1000 + number,
        step="a",
        item=None,
        attempt=1,
        priority=priority,
        available_at=BEGINNING + timedelta(seconds=number),
        limit=limit,
        strategy=strategy,
        is_new=is_new,
        is_ready=is_ready,
    )


def in_line(number: int, *, limit: int = 2, priority: int = 0) -> Applicant:
    return applicant(number, limit=limit, priority=priority, is_new=False)


def told(shares: Shares) -> tuple[list[int], list[int], dict[int, EventType]]:
    withdrawn = {command_id: kind for command_id, (_, kind) in shares.withdrawn.items()}
    return list(shares.granted), list(shares.waiting), withdrawn


def test_newcomers_get_permits_up_to_the_limit_and_then_wait() -> None:
    shares = share(Line(), [applicant(number) for number in (1, 2, 3, 4)])
    assert told(shares) == ([1, 2], [3, 4], {})


def test_a_newcomer_overtakes_nobody_who_waits() -> None:
    shares = share(Line(holding=1, waiting=[in_line(1), in_line(2)]), [applicant(3)])
    assert told(shares) == ([1], [2, 3], {})


def test_a_higher_priority_is_served_first() -> None:
    line = Line(holding=1, waiting=[in_line(1), in_line(2)])
    assert told(share(line, [applicant(3, priority=1)])) == ([3], [1, 2], {})


def test_cancel_newest_takes_a_free_permit_and_is_refused_when_there_is_none() -> None:
    newcomers = [applicant(number, "cancel_newest") for number in (1, 2)]
    assert told(share(Line(holding=1), newcomers)) == ([1], [], {2: REJECTED})


def test_cancel_newest_is_refused_while_somebody_waits_before_it() -> None:
    line = Line(holding=2, waiting=[in_line(1, limit=2)])
    assert told(share(line, [applicant(2, "cancel_newest", limit=9)])) == ([], [1], {2: REJECTED})


def test_cancel_running_takes_over_from_whoever_has_held_a_permit_for_the_longest_time() -> None:
    line = Line(holding=2, longest=[in_line(1)])
    assert told(share(line, [applicant(3, "cancel_running")])) == ([3], [], {1: CANCELLED})


def test_cancel_running_leaves_everybody_alone_while_there_is_room() -> None:
    line = Line(holding=1, longest=[in_line(1)])
    assert told(share(line, [applicant(3, "cancel_running")])) == ([3], [], {})


def test_of_more_newcomers_that_cancel_than_there_are_permits_the_last_ones_stay() -> None:
    newcomers = [applicant(number, "cancel_running", limit=1) for number in (2, 3, 4)]
    shares = share(Line(holding=1, longest=[in_line(1)]), newcomers)
    assert told(shares) == ([4], [], {1: CANCELLED, 2: CANCELLED, 3: CANCELLED})


def test_cancel_running_overtakes_whoever_waits() -> None:
    line = Line(holding=1, longest=[in_line(1)], waiting=[in_line(2, limit=1)])
    assert told(share(line, [applicant(3, "cancel_running", limit=1)])) == ([3], [2], {1: CANCELLED})


def test_each_is_served_by_its_own_limit() -> None:
    line = Line(holding=1, waiting=[in_line(1, limit=1), in_line(2, limit=9)])
    assert told(share(line, [])) == ([], [1, 2], {})
    line = Line(holding=1, waiting=[in_line(1, limit=9), in_line(2, limit=2)])
    assert told(share(line, [])) == ([1], [2], {})


def test_whoever_is_paused_waits_and_holds_up_nobody() -> None:
    newcomers = [applicant(1, is_ready=False), applicant(2, "cancel_newest", limit=1)]
    assert told(share(Line(), newcomers)) == ([2], [1], {})


@pytest.mark.parametrize("seed", range(300))
def test_no_mixture_of_commands_ever_holds_more_than_the_limit_or_leaves_a_permit_unused(seed: int) -> None:
    chance = random.Random(seed)
    strategies: list[Strategy] = ["queue", "cancel_newest", "cancel_running"]
    limit, before = chance.randint(1, 4), chance.randint(0, 4)
    holding = min(limit, before)
    waiting = [in_line(10 + number, limit=limit) for number in range(chance.randint(0, 5))]
    newcomers = [
        applicant(20 + number, chance.choice(strategies), limit=limit, priority=chance.randint(-1, 1))
        for number in range(chance.randint(0, 6))
    ]
    line = Line(holding, [in_line(number + 1) for number in range(holding)], waiting)
    shares = share(line, newcomers)
    everybody = {each.command_id for each in (*waiting, *newcomers)}
    parts = [set(shares.granted), set(shares.waiting), set(shares.withdrawn)]
    held = {number + 1 for number in range(holding)} - parts[2] | parts[0]
    assert len(held) <= limit
    assert len(held) == limit or not parts[1]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert everybody <= set().union(*parts)


def test_a_withdrawn_command_has_the_one_outcome_of_a_command() -> None:
    preempted, refused = (withdrawal(applicant(7), kind) for kind in (CANCELLED, REJECTED))
    assert preempted.event_id == refused.event_id == settled_event_id(7)
    assert preempted.target == 1007
    codes = [told.payload["error"]["code"] for told in (preempted, refused)]  # type: ignore[index]
    assert codes == ["cancelled", "concurrency_rejected"]
