"""Work that a signal ends: the first in order, the second at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ECHO_SECONDS = 0.5


async def until_signal(
    work: Coroutine[object, object, int], *, stopping: Callable[[], None], hurry: Callable[[], None]
) -> int | None:
    """Do the work and return what it returns, or None when a signal ended it.

    The first signal cancels the work after `stopping`, every further one calls `hurry`; what comes with the
    first is the same request, passed on by a program in between.
    """
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    asked: float | None = None

    def ask() -> None:
        nonlocal asked
        if asked is None:
            asked = loop.time()
            stopping()
            task.cancel()
        elif loop.time() - asked > ECHO_SECONDS:
            hurry()

    for each in SIGNALS:
        loop.add_signal_handler(each, ask)
    try:
        return await task
    except asyncio.CancelledError:
        if asked is None:
            raise
        return None
    finally:
        for each in SIGNALS:
            loop.remove_signal_handler(each)
