"""Waiters without a database: who is woken, who looks, and what is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from engine.errors import Unavailable
from engine.read.executions import Found
from public_api.waiters import Waiters
from public_api.watch import Watch


class Shelf:
    """What is read, and how often; a read can be held up."""

    def __init__(self) -> None:
        self.version = 1
        self.reads = 0
        self.looks = 0
        self.open = asyncio.Event()
        self.open.set()

    async def read(self, _execution_id: int) -> Found:
        self.reads += 1
        found = Found({}, self.version, 1)
        await self.open.wait()
        return found

    async def levels(self, execution_ids: Sequence[int]) -> Mapping[int, int]:
        """What the look at everyone finds."""
        self.looks += 1
        return dict.fromkeys(execution_ids, self.version)

    def waiters(self) -> Waiters:
        return Waiters(self.read, Watch(self.levels))


def reached(version: int) -> object:
    return lambda found: found is not None and found.version >= version


async def wait_for(waiters: Waiters, shelf: Shelf, version: int, seconds: float = 30) -> asyncio.Task[int]:
    async def wait() -> int:
        found = await waiters.until(7, shelf.read, reached(version), seconds=seconds, least=version)  # type: ignore[arg-type]
        assert found is not None
        return found.version

    task = asyncio.create_task(wait())
    await turns()
    return task


async def turns() -> None:
    """Let everything that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_who_is_satisfied_at_the_first_look_does_not_wait() -> None:
    shelf = Shelf()
    waiters = shelf.waiters()
    found = await waiters.until(7, shelf.read, lambda _: True, seconds=30)
    assert (found, shelf.reads, len(waiters.watch)) == (Found({}, 1, 1), 1, 0)


async def test_a_wake_during_the_first_look_is_not_lost() -> None:
    shelf = Shelf()
    waiters = shelf.waiters()
    shelf.open.clear()
    task = await wait_for(waiters, shelf, 2)
    shelf.version = 2
    waiters.heard(b"[[7,2]]")
    shelf.open.set()
    assert (await task, shelf.reads) == (2, 2)


async def test_a_look_that_began_before_a_wake_is_not_shared() -> None:
    shelf = Shelf()
    waiters = shelf.waiters()
    task = await wait_for(waiters, shelf, 3)
    shelf.open.clear()
    shelf.version = 2
    waiters.heard(b"[[7,3]]")
    await turns()
    shelf.version = 3
    waiters.heard(b"[[7,3]]")
    shelf.open.set()
    assert (await task, shelf.reads) == (3, 3)


async def test_wakes_of_others_and_for_less_are_not_heard() -> None:
    shelf = Shelf()
    waiters = shelf.waiters()
    task = await wait_for(waiters, shelf, 5)
    waiters.heard(b"[[8,9],[7,4]]")
    await turns()
    assert shelf.reads == 1
    shelf.version = 6
    waiters.heard(b"[[8,9],[7,6]]")
    assert (await task, shelf.reads) == (6, 2)


async def test_time_that_has_run_out_ends_with_one_look() -> None:
    shelf = Shelf()
    waiters = shelf.waiters()
    assert await (await wait_for(waiters, shelf, 2, seconds=0.01)) == 1
    assert (shelf.reads, len(waiters.watch)) == (2, 0)


async def test_an_error_of_a_look_reaches_everyone_who_shares_it() -> None:
    shelf = Shelf()

    async def broken(_execution_id: int) -> Found:
        raise Unavailable("away")

    waiters = Waiters(broken, Watch(shelf.levels))
    tasks = [await wait_for(waiters, shelf, 2) for _ in range(3)]
    waiters.heard(b"[[7,2]]")
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    assert len(waiters.watch) == 0


async def test_closing_lets_everyone_go() -> None:
    shelf = Shelf()
    waiters = shelf.waiters()
    task = await wait_for(waiters, shelf, 2)
    waiters.watch.close()
    with pytest.raises(Unavailable):
        await task
    assert (shelf.reads, len(waiters.watch)) == (1, 0)


async def test_long_waits_in_a_chain_read_once_while_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("public_api.waiters.SAFETY_SECONDS", 0.05)
    shelf = Shelf()
    waiters = shelf.waiters()
    for _ in range(3):
        task = await wait_for(waiters, shelf, 2, seconds=0.05)
        await waiters.watch.look()
        assert await task == 1
    assert shelf.reads == 1
    shelf.version = 2
    await waiters.watch.look()
    assert await (await wait_for(waiters, shelf, 2, seconds=0.05)) == 2
    assert shelf.reads == 2


async def test_one_look_wakes_all_whose_wakes_were_lost_and_nobody_else() -> None:
    shelf = Shelf()
    waiters = shelf.waiters()
    satisfied = [await wait_for(waiters, shelf, 2) for _ in range(3)]
    patient = await wait_for(waiters, shelf, 3)
    shelf.version = 2
    await waiters.watch.look()
    assert await asyncio.gather(*satisfied) == [2, 2, 2]
    assert (shelf.looks, shelf.reads, patient.done()) == (1, 5, False)
    waiters.watch.close()
    await asyncio.gather(patient, return_exceptions=True)
