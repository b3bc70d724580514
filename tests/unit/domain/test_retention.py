from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.domain.ids import EPOCH, first_id_at, moment_of
from engine.domain.retention import REASONS, Range, Ranges, reason_text


def test_ranges_know_what_lies_in_them_whatever_their_order() -> None:
    ranges = Ranges([Range(50, 60), Range(0, 10), Range(10, 20), Range(15, 18)])
    inside = [number for number in range(70) if number in ranges]
    assert inside == [*range(20), *range(50, 60)]


def test_without_ranges_nothing_is_in_them() -> None:
    assert 5 not in Ranges()


@pytest.mark.parametrize("what", sorted(REASONS))
def test_every_reason_names_how_many_and_where_to_look(what: str) -> None:
    assert "41" in reason_text(what, 41, 123)
    assert what == "refill" or all("123" in reason_text(what, number, 123) for number in (1, 41))


def test_the_moment_of_an_id_is_when_it_was_given_out() -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
    assert moment_of(first_id_at(moment)) == moment
    assert moment_of(first_id_at(moment) + 2**22 - 1) == moment
    assert moment_of(first_id_at(moment) + 2**22) == moment + timedelta(milliseconds=1)
    assert moment_of(5) == EPOCH
