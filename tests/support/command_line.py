"""The command line in tests: programs started as people start them, in a folder of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from playlog.cli.dev import record
from tests.support.eventually import eventually
from tests.support.processes import assert_gone
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START_SECONDS = 60.0
END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended."""

    status: int
    output: str
    errors: str


@dataclass(slots=True)
class Dev:
    """A `playlog dev` that is ready."""

    process: asyncio.subprocess.Process
    folder: Path
    running: record.Running

    def descendants(self) -> list[int]:
        """The ids of all processes it has started, and of theirs."""
        return [each.pid for each in psutil.Process(self.process.pid).children(recursive=True)]

    def printed(self) -> str:
        """What it has printed up to now."""
        return (self.folder / "dev.out").read_text()

    async def end(self, number: int) -> int:
        """Send a signal and return the exit status; raises AssertionError while a descendant is left."""
        started = self.descendants()
        self.process.send_signal(number)
        async with asyncio.timeout(END_SECONDS):
            status = await self.process.wait()
        for pid in started:
            await eventually(partial(assert_gone, pid), timeout=15)
        return status


async def playlog(*arguments: str | Path, folder: Path, seconds: float = 120.0, **settings: str) -> Done:
    """Run one command to its end, with these settings of ours in its environment."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command(*arguments), cwd=folder, env=environment() | settings, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return Done(process.returncode or 0, output.decode(), errors.decode())


@asynccontextmanager
async def dev(folder: Path, *arguments: str, **settings: str) -> AsyncIterator[Dev]:
    """Start `playlog dev` and wait until it is ready; ended in order afterwards if it still runs."""
    with (folder / "dev.out").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command("dev", *arguments),
            cwd=folder,
            env=environment() | settings,
            stdout=output,
            stderr=output,
        )
    try:
        running = await eventually(lambda: _ready(process, folder), timeout=START_SECONDS)
        yield Dev(process, folder, running)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(END_SECONDS):
            await process.wait()


def command(*arguments: str | Path) -> tuple[str | Path, ...]:
    """The command line of the program."""
    return (sys.executable, "-m", "playlog.cli.app", *arguments)


def environment() -> dict[str, str]:
    """This environment without our settings, with our packages, 80 columns wide."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLAYLOG_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "80"}


def _ready(process: asyncio.subprocess.Process, folder: Path) -> record.Running:
    if process.returncode is not None:
        raise RuntimeError(f"dev has ended: {(folder / 'dev.out').read_text()}")
    running = record.read(folder / record.HOME)
    assert running is not None
    assert running.pid == process.pid
    return running
