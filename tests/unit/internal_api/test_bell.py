"""The bell rings as many waiters as there are commands, and no ring is lost."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from internal_api.bell import Bell, PoolQueue, Waiter


def queue_of(count: int, picky: int = 0) -> tuple[PoolQueue, list[Waiter]]:
    queue = PoolQueue()
    waiters = [Waiter(picky=number >= count) for number in range(count + picky)]
    for waiter in waiters:
        queue.enter(waiter)
    return queue, waiters


def rung(waiters: list[Waiter]) -> list[bool]:
    return [waiter.rung.is_set() for waiter in waiters]


async def test_as_many_are_rung_as_there_are_commands_longest_waiting_first() -> None:
    queue, waiters = queue_of(4)
    queue.ring(2)
    assert rung(waiters) == [True, True, False, False]
    queue.ring(1)
    assert rung(waiters) == [True, True, True, False]
    queue.close()


async def test_those_who_take_only_some_tools_are_rung_beside_the_others() -> None:
    queue, waiters = queue_of(2, picky=2)
    queue.ring(1)
    assert rung(waiters) == [True, False, True, True]
    queue.close()


async def test_a_ring_that_was_not_used_goes_to_the_next() -> None:
    queue, waiters = queue_of(2)
    queue.ring(1)
    queue.leave(waiters[0])
    assert rung(waiters) == [True, True]
    queue.leave(waiters[1])
    assert queue.waiters == type(queue.waiters)()


async def test_the_sooner_of_two_moments_rings() -> None:
    queue, (waiter,) = queue_of(1)
    for seconds in (30.0, 0.0, 20.0):
        queue.ring_in(seconds)
    async with asyncio.timeout(1):
        await waiter.rung.wait()
    assert waiter.probes
    queue.close()


async def test_what_this_process_sent_rings_nobody_when_it_comes_back() -> None:
    bell = Bell()
    with bell.waiting("p", picky=False) as (_, waiter):
        bell.sent(b'{"p":1}')
        bell.heard(b'{"p":1}')
        assert not waiter.rung.is_set()
        bell.heard(b'{"p":1}')
        assert waiter.rung.is_set()


async def test_an_unreadable_wake_and_a_new_connection_let_one_of_each_pool_look() -> None:
    for body in (b"[]", b"", b"nonsense", b'{"p":"many"}'):
        bell = Bell()
        bell.sent(b'{"p":1}')
        with ExitStack() as stack:
            waiters = [stack.enter_context(bell.waiting(pool, picky=False))[1] for pool in ("p", "p", "q")]
            bell.heard(body)
            assert rung(waiters) == [True, False, True]
            assert waiters[0].probes


async def test_a_closed_bell_sends_everyone_home() -> None:
    bell = Bell()
    with bell.waiting("p", picky=False) as (_, waiter):
        bell.close()
        assert waiter.rung.is_set()
        assert bell.closed
