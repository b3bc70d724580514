"""A purge is told apart from what a stream forgets by its own rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from engine.runtime.stream import StreamState
from engine.runtime.stream_config import has_room
from engine.write.shards import Standing
from publisher.stream_watch import PURGED, Seen, purged

NOW = datetime(2026, 1, 8, tzinfo=UTC)
WEEK = timedelta(days=7)
YOUNG, OLD = NOW - timedelta(hours=1), NOW - timedelta(days=8)
STANDING = Standing(
    last_seq=50,
    published_at=YOUNG,
    stream_created="a",
    server="s",
    generation=3,
    refilling=0,
    this_server="s",
)
STATE = StreamState(
    created="a",
    moment=NOW,
    first_seq=11,
    first_at=YOUNG,
    last_seq=60,
    last_at=YOUNG,
    messages=50,
    has_room=True,
    allow_atomic=True,
    max_payload=2**20,
    server_version="2.15.1",
)


def seen(first: int, last: int, first_at: datetime = YOUNG, generation: int = 3) -> Seen:
    messages = last - first + 1
    state = replace(STATE, first_seq=first, first_at=first_at, last_seq=last, messages=messages, moment=YOUNG)
    return Seen.of(state, generation)


def test_a_young_message_that_is_gone_was_purged() -> None:
    assert purged(STANDING, STATE, seen(10, 60), WEEK) == PURGED


def test_an_old_one_aged() -> None:
    assert purged(STANDING, STATE, seen(10, 60, OLD), WEEK) is None


def test_in_a_stream_as_old_as_it_may_be_the_newest_tells() -> None:
    assert purged(STANDING, STATE, seen(1, 10, OLD), WEEK) == PURGED


def test_in_an_empty_stream_the_next_message_tells() -> None:
    assert purged(STANDING, STATE, seen(11, 10), WEEK) is None
    assert purged(STANDING, STATE, seen(10, 9), WEEK) == PURGED


def test_a_full_stream_makes_room() -> None:
    assert purged(STANDING, replace(STATE, has_room=False), seen(10, 60), WEEK) is None


def test_what_was_seen_before_a_refill_began_is_known_to_be_gone() -> None:
    assert purged(STANDING, STATE, seen(10, 60, generation=2), WEEK) is None


def test_without_a_check_before_the_last_acknowledged_message_must_be_there() -> None:
    emptied = replace(STATE, first_seq=61, messages=0)
    assert purged(STANDING, STATE, None, WEEK) is None
    assert purged(STANDING, emptied, None, WEEK) == PURGED
    assert purged(replace(STANDING, published_at=OLD), emptied, None, WEEK) is None
    assert purged(replace(STANDING, published_at=None), emptied, None, WEEK) is None


def test_what_only_others_published_proves_nothing() -> None:
    assert purged(replace(STANDING, last_seq=0), STATE, None, WEEK) is None


def test_room_is_half_of_the_bytes_and_no_limit_of_messages() -> None:
    assert has_room({"max_bytes": 100}, 49)
    assert not has_room({"max_bytes": 100}, 50)
    assert has_room({"max_bytes": -1, "max_msgs": -1, "max_msgs_per_subject": -1}, 10**12)
    assert not has_room({"max_msgs_per_subject": 5}, 1)
    assert not has_room({"max_msgs": 5}, 1)
