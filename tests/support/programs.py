"""Python programs of tests, run as processes of their own that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
LINE_SECONDS = 30.0


@asynccontextmanager
async def python(code: str, *arguments: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `code` with the project importable and its output piped; killed afterwards if it still runs."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *arguments),
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def next_line(process: asyncio.subprocess.Process) -> str:
    """The next line of its output, without the line's end; an empty string when it has ended."""
    assert process.stdout is not None
    async with asyncio.timeout(LINE_SECONDS):
        return (await process.stdout.readline()).decode().rstrip("\n")
