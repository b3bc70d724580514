"""A worker as a process of its own, with nothing of ours in its environment but what a test says."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.tree import ROOT

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def worker_process(folder: Path, **settings: object) -> AsyncIterator[Process]:
    """Start `python -m worker` in a folder; kill what is left of it. `settings` are without `PLAYLOG_`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYLOG_")}
    environment |= {f"PLAYLOG_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"PYTHONPATH": str(ROOT), "PLAYLOG_HEALTH_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker"),
        env=environment,
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
