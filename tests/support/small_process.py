"""A process of ours that does almost nothing, for the tests of what surrounds every process."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from engine.errors import Misconfigured, Unavailable
from engine.runtime.database import open_pool
from engine.runtime.process import run_process
from engine.runtime.settings import DatabaseSettings, WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from engine.runtime.process import ProcessContext


class Counting:
    """A role that says so when its pass has ended."""

    name = "counting"

    async def step(self) -> float:
        """Do one pass of a twentieth of a second."""
        print("begun", flush=True)  # noqa: T201 - the test reads it
        await asyncio.sleep(0.05)
        print("ended", flush=True)  # noqa: T201 - the test reads it
        return 60.0


async def draining(context: ProcessContext[WorkerProcess]) -> None:
    """Run a role until told to stop."""
    await context.run_roles([Counting()])


async def stubborn(context: ProcessContext[WorkerProcess]) -> None:
    """Ignore being told to stop."""

    async def ignore() -> None:
        print("begun", flush=True)  # noqa: T201 - the test reads it
        await asyncio.Event().wait()

    await context.run_roles([], others=[ignore()])


async def waiting(_context: ProcessContext[WorkerProcess]) -> None:
    """Wait for a database that is not there, with the patience of the default settings."""
    print("begun", flush=True)  # noqa: T201 - the test reads it
    await open_pool(DatabaseSettings(database_url="postgresql://nobody@127.0.0.1:1/nothing"))


async def misconfigured(context: ProcessContext[WorkerProcess]) -> None:
    """Find out inside a task that the settings do not fit."""

    async def find_out() -> None:
        raise Misconfigured("PLAYLOG_POOL: no such pool")

    await context.run_roles([], others=[find_out()])


async def failing(_context: ProcessContext[WorkerProcess]) -> None:
    """Fail."""
    raise Unavailable


MAINS: dict[str, Callable[[ProcessContext[WorkerProcess]], Coroutine[object, object, None]]] = {
    "draining": draining,
    "stubborn": stubborn,
    "misconfigured": misconfigured,
    "failing": failing,
    "waiting": waiting,
}

if __name__ == "__main__":
    raise SystemExit(run_process("small", MAINS[sys.argv[1]], WorkerProcess))
