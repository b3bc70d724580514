"""What one listener of all events is given: nothing twice, a word where it breaks off, and never too much."""

from __future__ import annotations

import pytest

from engine.runtime.bus import BEGINNING, Place, Told
from public_api.event_source import PING, TooSlow
from public_api.feed import Client, Portion, Wanted, portions

BODY = b'{"path":"p","execution_id":"7","events":[%b]}'
EVENTS = b",".join(b'{"event_type":"t%d","status":"S","version":%d}' % (n, n) for n in range(3))


def portion(generation: int, seq: int, *, follows: bool = True) -> Portion:
    [read] = portions([Told(Place(generation, seq), BODY % EVENTS, follows)])
    return read


def client(most_bytes: int = 10_000, **wanted: frozenset[str]) -> Client:
    return Client(Wanted(**wanted), most_bytes)  # type: ignore[arg-type]


def ids(sent: bytes) -> list[str]:
    return [line[4:] for line in sent.decode().splitlines() if line.startswith("id: ")]


def test_what_it_has_already_is_not_told_again() -> None:
    one = client()
    one.begin(Place(1, 5), 1)
    for seq in (4, 5, 6, 6):
        one.put(portion(1, seq))
    assert ids(one.take_now()) == ["1-6-0", "1-6-1", "1-6-2"]
    one.begin(BEGINNING, 1)
    one.put(portion(1, 7), after_number=1)
    assert ids(one.take_now()) == ["1-7-2"]


@pytest.mark.parametrize("after", [portion(2, 1), portion(1, 9, follows=False), portion(1, 2, follows=False)])
def test_another_generation_and_what_does_not_follow_begin_with_a_reset(after: Portion) -> None:
    one = client()
    one.begin(Place(1, 5), 1)
    one.put(after)
    reset = b'event: reset\ndata: {"generation":%d}\n\n' % after.place.generation
    assert one.take_now().startswith(reset + b"id: ")
    one.put(portion(after.place.generation, after.place.seq + 1))
    assert b"reset" not in one.take_now()


def test_its_place_moves_on_over_what_it_does_not_want_but_not_past_what_waits() -> None:
    one = client(types=frozenset({"t1"}), status=frozenset({"S"}))
    assert one.ping() == PING
    one.begin(BEGINNING, 0)
    one.put(portion(1, 1))
    assert one.ping() == PING
    assert ids(one.take_now()) == ["1-1-1"]
    assert one.ping() == b"id: 1-1\n\n"
    other = client(types=frozenset({"none"}))
    other.put(portion(1, 8))
    assert (other.take_now(), other.ping()) == (b"", b"id: 1-8\n\n")


async def test_one_for_whom_too_much_waits_is_dropped() -> None:
    one = client(most_bytes=1_000)
    for seq in range(1, 5):
        one.put(portion(1, seq))
    with pytest.raises(TooSlow):
        await one.take()


def test_a_message_that_cannot_be_read_tells_nothing() -> None:
    for body in (b"x", b"[]", b'{"path":null}', BODY % b"1"):
        [read] = portions([Told(Place(1, 1), body, follows=True)])
        assert read.frames == ()
