"""Work that a signal ends: the first in order, the second at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def until_signal(
    work: Coroutine[object, object, int], *, stopping: Callable[[], None], hurry: Callable[[], None]
) -> int | None:
    """Do the work and return what it returns, or None when a signal ended it.

    The first signal cancels the work after `stopping`, every further one calls `hurry`.
    """
    task = asyncio.create_task(work)
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked:
            hurry()
            return
        asked = True
        stopping()
        task.cancel()

    loop = asyncio.get_running_loop()
    for each in SIGNALS:
        loop.add_signal_handler(each, ask)
    try:
        return await task
    except asyncio.CancelledError:
        if not asked:
            raise
        return None
    finally:
        for each in SIGNALS:
            loop.remove_signal_handler(each)
