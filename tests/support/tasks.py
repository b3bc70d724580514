"""Finds the asyncio tasks that a test leaves behind."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GRACE_SECONDS = 0.5


@asynccontextmanager
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Raise AssertionError when tasks begun inside are still running a moment after the end; cancel them."""
    before = asyncio.all_tasks()
    yield
    begun = asyncio.all_tasks() - before - {asyncio.current_task()}
    if not begun:
        return
    _, leaked = await asyncio.wait(begun, timeout=GRACE_SECONDS)
    for task in leaked:
        task.cancel()
    await asyncio.gather(*leaked, return_exceptions=True)
    assert not leaked, f"tasks left running: {sorted(task.get_name() + ' ' + repr(task) for task in leaked)}"
