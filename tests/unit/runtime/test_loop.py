from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from engine.errors import Unavailable
from engine.runtime import loop
from engine.runtime.health import LoopProgress
from engine.runtime.loop import run_role, wait_any

if TYPE_CHECKING:
    from collections.abc import Callable


class Role:
    """A role that does what the test's list says: a rest in seconds, an error, or a function to call."""

    def __init__(self, *script: float | Exception | Callable[[], float]) -> None:
        self.name = "scripted"
        self.passes = 0
        self._script = list(script)

    async def step(self) -> float:
        self.passes += 1
        entry = self._script.pop(0)
        if isinstance(entry, Exception):
            raise entry
        return entry() if callable(entry) else entry


def stopping(stop: asyncio.Event) -> Callable[[], float]:
    def step() -> float:
        stop.set()
        return 60.0

    return step


async def test_a_full_batch_goes_on_at_once_and_stop_ends_the_rest() -> None:
    stop = asyncio.Event()
    role = Role(0, 0, 0, stopping(stop))
    await run_role(role, stop=stop)
    assert role.passes == 4


async def test_a_wake_ends_the_rest_early() -> None:
    stop, wake = asyncio.Event(), asyncio.Event()

    def wake_soon() -> float:
        asyncio.get_running_loop().call_soon(wake.set)
        return 60.0

    role = Role(wake_soon, stopping(stop))
    await run_role(role, stop=stop, wake=wake)
    assert role.passes == 2


async def test_a_wake_during_a_pass_is_not_lost() -> None:
    stop, wake = asyncio.Event(), asyncio.Event()

    def woken_meanwhile() -> float:
        wake.set()
        return 60.0

    role = Role(woken_meanwhile, stopping(stop))
    await run_role(role, stop=stop, wake=wake)
    assert role.passes == 2


@pytest.mark.parametrize("error", [TimeoutError(), OSError(), Unavailable(), KeyError(1)])
async def test_an_error_is_counted_and_outlived(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_backoff", lambda _failures: 0.001)
    stop = asyncio.Event()
    progress = LoopProgress(max_failures=1)
    reasons: list[str | None] = []

    def look() -> float:
        reasons.append(progress.fault())
        return 0

    await run_role(Role(error, look, look, stopping(stop)), stop=stop, progress=progress)
    assert reasons[0] is not None
    assert "1 times in a row" in reasons[0]
    assert reasons[1] is None


def test_failures_back_off_further_and_further_at_most_to_5_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    waits = [loop._backoff(failures) for failures in range(1, 9)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_a_wake_does_not_defeat_the_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.runtime.loop._backoff", lambda _failures: 60.0)
    stop, wake = asyncio.Event(), asyncio.Event()
    role = Role(OSError(), 0)
    running = asyncio.create_task(run_role(role, stop=stop, wake=wake))
    for _ in range(5):
        wake.set()
        await asyncio.sleep(0)
    assert role.passes == 1
    stop.set()
    await running


async def test_cancelling_ends_a_pass_and_a_rest() -> None:
    for rest in (60.0, 0.0):
        role = Role(*[rest] * 1_000)
        running = asyncio.create_task(run_role(role, stop=asyncio.Event()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def test_the_rest_is_jittered_by_a_tenth() -> None:
    rests = [loop._jittered(10.0) for _ in range(200)]
    assert 9.0 <= min(rests) < 9.5
    assert 10.5 < max(rests) <= 11.0


def test_a_pass_that_does_not_end_is_a_fault() -> None:
    now = 100.0
    progress = LoopProgress(max_seconds=60.0, clock=lambda: now)
    progress.began()
    now = 159.0
    assert progress.fault() is None
    now = 161.0
    assert progress.fault() == "a pass has been running for 61 s"
    progress.succeeded()
    assert progress.fault() is None


async def test_waiting_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    assert not await wait_any(0.001, asyncio.Event(), asyncio.Event(), None)
    assert asyncio.all_tasks() == before
