"""Waiting in tests: the only place where a test sleeps."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

POLL_SECONDS = 0.02


@overload
async def eventually(check: Callable[[], Awaitable[T]], timeout: float = ...) -> T: ...  # noqa: ASYNC109
@overload
async def eventually(check: Callable[[], T], timeout: float = ...) -> T: ...  # noqa: ASYNC109
async def eventually(check: Callable[[], Awaitable[T] | T], timeout: float = 10) -> T:  # noqa: ASYNC109
    """Call `check`, plain or async, until it raises no AssertionError; return what it returns.

    After `timeout` seconds the last AssertionError is raised; any other error is raised at once.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            outcome = check()
            return await outcome if inspect.isawaitable(outcome) else outcome
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(POLL_SECONDS)
