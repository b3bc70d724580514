"""Real processes of the product, each in a folder of its own, killed when the test is over."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from tests.support.eventually import eventually
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

TOKEN = "process-token"
READY_SECONDS = 30.0
END_SECONDS = 20.0


@asynccontextmanager
async def process(
    folder: Path, module: str, stderr: int = PIPE, /, **settings: object
) -> AsyncIterator[Process]:
    """Run `python -m module` in an empty directory; kill what is left of it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYLOG_")}
    environment |= {f"PLAYLOG_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"PYTHONPATH": str(ROOT), "PLAYLOG_INTERNAL_API_TOKEN": TOKEN}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module), env=environment, cwd=folder, stderr=stderr
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def ended(process: Process) -> int:
    """The exit code of a process that was told to stop."""
    async with asyncio.timeout(END_SECONDS):
        await process.communicate()
    assert process.returncode is not None
    return process.returncode


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


async def until_ready(session: aiohttp.ClientSession, url: str) -> None:
    """Wait until the process behind a URL is ready."""

    async def check() -> None:
        try:
            async with session.get(f"{url}/readyz") as response:
                assert response.status == 200, await response.text()
        except aiohttp.ClientConnectionError as error:
            raise AssertionError("not listening") from error

    await eventually(check, timeout=READY_SECONDS)
