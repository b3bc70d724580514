"""The process: it serves while NATS is away, works with real workers, and ends in good order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from tests.support.engine import Engine, running_engine
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[3]
TOKEN = "process-token"
CHAIN = """
playbook: t/chain
steps:
  - {name: a, tool: noop}
  - {name: b, tool: noop}
  - {name: c, tool: noop}
"""


@asynccontextmanager
async def process(tmp_path: Path, module: str, **settings: object) -> AsyncIterator[Process]:
    """Run `python -m module` in an empty directory; kill what is left of it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYLOG_")}
    environment |= {f"PLAYLOG_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"PYTHONPATH": str(ROOT), "PLAYLOG_INTERNAL_API_TOKEN": TOKEN}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module), env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


async def ended(process: Process) -> int:
    async with asyncio.timeout(20):
        await process.communicate()
    assert process.returncode is not None
    return process.returncode


async def test_a_worker_process_runs_executions_while_nats_is_away(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "database_url": database_url,
        "nats_url": "nats://127.0.0.1:9",
        "internal_api_port": port,
        "health_port": 0,
        "allow_unsafe_durability": 1,
    }
    async with (
        running_engine(database_url) as engine,
        process(tmp_path, "internal_api", **settings) as api,
        aiohttp.ClientSession() as session,
    ):
        await eventually(lambda: is_ready(session, url), timeout=20)
        worker = process(tmp_path, "worker", internal_api_url=url, health_port=0, slots=4)
        await engine.register(CHAIN)
        async with worker as working:
            executions = [await engine.start("t/chain") for _ in range(5)]
            await eventually(lambda: all_completed(engine, executions), timeout=20)
            working.send_signal(signal.SIGTERM)
            assert await ended(working) == 0
        api.send_signal(signal.SIGTERM)
        assert await ended(api) == 0


async def is_ready(session: aiohttp.ClientSession, url: str) -> None:
    try:
        async with session.get(f"{url}/readyz") as response:
            assert response.status == 200, await response.text()
    except aiohttp.ClientConnectionError as error:
        raise AssertionError("not listening") from error


async def all_completed(engine: Engine, executions: list[int]) -> None:
    counted = await engine.value(
        "select count(*) from playlog.execution where execution_id = any($1) and status = 'completed'",
        executions,
    )
    assert counted == len(executions)


async def test_a_port_in_use_is_said_in_plain_words(database_url: str, tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        settings = {
            "database_url": database_url,
            "nats_url": "nats://127.0.0.1:9",
            "internal_api_port": listening.getsockname()[1],
            "health_port": 0,
        }
        async with process(tmp_path, "internal_api", **settings) as api:
            _, stderr = await api.communicate()
    assert api.returncode == 2
    assert b"PLAYLOG_INTERNAL_API_PORT: cannot listen" in stderr
