from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.runtime.announcer import EVERYONE, Announcer, decode_wake

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self._callbacks: list[Callable[[], None]] = []

    def later(self, delay: float, callback: Callable[[], None], /) -> asyncio.TimerHandle:
        self.delays.append(delay)
        self._callbacks.append(callback)
        return Cancelled()  # type: ignore[return-value]

    def tick(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class Cancelled:
    def cancel(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_goes_out_at_once_and_the_rest_together_after_10_ms(clock: Clock) -> None:
    sent: list[bytes] = []
    announcer = Announcer(sent.append, later=clock.later)

    announcer.add(1, 1)
    announcer.add(2, 1)
    announcer.add(3, 7)
    assert [decode_wake(body) for body in sent] == [[(1, 1)]]
    assert clock.delays == [0.010]

    clock.tick()
    assert [decode_wake(body) for body in sent[1:]] == [[(2, 1), (3, 7)]]

    clock.tick()
    announcer.add(4, 1)
    assert decode_wake(sent[-1]) == [(4, 1)]
    assert len(sent) == 3


def test_only_the_highest_version_of_an_execution_is_sent(clock: Clock) -> None:
    sent: list[bytes] = []
    announcer = Announcer(sent.append, later=clock.later)
    announcer.add(9, 1)
    for version in (3, 5, 4):
        announcer.add(1, version)
    clock.tick()
    assert decode_wake(sent[-1]) == [(1, 5)]


def test_a_wake_holds_at_most_200_pairs(clock: Clock) -> None:
    sent: list[bytes] = []
    announcer = Announcer(sent.append, later=clock.later)
    for execution_id in range(2**62, 2**62 + 451):
        announcer.add(execution_id, 1)
    clock.tick()
    assert [len(decode_wake(body)) for body in sent] == [1, 200, 200, 50]


def test_closing_sends_what_is_pending(clock: Clock) -> None:
    sent: list[bytes] = []
    announcer = Announcer(sent.append, later=clock.later)
    announcer.add(1, 1)
    announcer.add(2, 1)
    announcer.close()
    assert decode_wake(sent[-1]) == [(2, 1)]


@pytest.mark.parametrize("body", [EVERYONE, b"", b"no json", b"[1]", b"{}", b'[["a", 1]]'])
def test_a_wake_without_readable_pairs_means_look_at_all(body: bytes) -> None:
    assert decode_wake(body) == []
