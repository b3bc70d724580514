"""Runs a role: pass after pass until told to stop, resting as the role says, backing off when it fails."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog
import tenacity

from engine.errors import UNMAPPED, PlaylogError
from engine.runtime import metrics
from engine.runtime.database import classify

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.runtime.health import LoopProgress

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_JITTER = 0.1
_CANCEL_SECONDS = 0.1
_BACKOFF = tenacity.wait_random_exponential(multiplier=0.1, max=5.0)


class Role(Protocol):
    """A background job that is one step, done again and again."""

    @property
    def name(self) -> str:
        """The name in logs, metrics and readiness."""

    async def step(self) -> float:
        """Do one pass and return the seconds to rest; 0 when there is more to do at once."""


async def run_role(
    role: Role,
    *,
    stop: asyncio.Event,
    wake: asyncio.Event | None = None,
    progress: LoopProgress | None = None,
    rest: Callable[[float], float] | None = None,
) -> None:
    """Run a role until `stop` is set; a pass under way is finished first, cancelling is passed on.

    A set `wake` ends the rest after a good pass early and is cleared before the next pass; after a failed
    one only `stop` does, so that a storm of wake-ups cannot defeat the backoff. `rest` replaces the jitter.
    """
    jittered = rest or _jittered
    failures = 0
    while not stop.is_set():
        if wake is not None:
            wake.clear()
        seconds = await _one_pass(role, progress)
        failures = failures + 1 if seconds is None else 0
        if seconds is None:
            await wait_any(_backoff(failures), stop)
        elif seconds > 0:
            await wait_any(jittered(seconds), stop, wake)
        else:
            await asyncio.sleep(0)


async def wait_any(seconds: float, *events: asyncio.Event | None) -> bool:
    """Wait until one of the events is set, at most `seconds`; return whether one is."""
    present = [event for event in events if event is not None]
    if any(event.is_set() for event in present):
        return True
    waiters = [asyncio.create_task(event.wait()) for event in present]
    try:
        await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
    return any(event.is_set() for event in present)


async def end(task: asyncio.Task[T]) -> None:
    """Cancel a task until it has ended; its outcome is dropped.

    Once is not enough: `asyncio.wait_for` of Python 3.11 forgets a cancel that meets what it waits for.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_SECONDS)
    if not task.cancelled():
        task.exception()


async def _one_pass(role: Role, progress: LoopProgress | None) -> float | None:
    """Return the rest that the pass asked for, or None when it failed."""
    started = time.perf_counter()
    if progress is not None:
        progress.began()
    try:
        seconds = await role.step()
    except Exception as error:  # noqa: BLE001 - a loop outlives every error of one pass
        _report(role.name, error)
        if progress is not None:
            progress.failed(error)
        return None
    metrics.loop_seconds.labels(role.name).observe(time.perf_counter() - started)
    metrics.loop_passes.labels(role.name).inc()
    metrics.loop_last_pass.labels(role.name).set_to_current_time()
    if progress is not None:
        progress.succeeded()
    return seconds


def _report(name: str, error: Exception) -> None:
    known = classify(error)
    expected = known.code not in {PlaylogError.code, UNMAPPED}
    metrics.loop_failures.labels(name, known.code).inc()
    _log.log(
        logging.WARNING if expected else logging.ERROR,
        "loop.failed",
        loop=name,
        code=known.code,
        detail=known.detail,
        exc_info=None if expected else error,
    )


def _backoff(failures: int) -> float:
    """Return seconds between 0 and the 0.1, 0.2, 0.4 ... 5 of the failure's number."""
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = failures
    return _BACKOFF(state)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, guards nothing
