"""The process: it serves while NATS is away, works with real workers, and ends in good order."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import aiohttp

from tests.support.engine import Engine, running_engine
from tests.support.eventually import eventually
from tests.support.roles import ended, free_port, process, until_ready

if TYPE_CHECKING:
    from pathlib import Path

CHAIN = """
playbook: t/chain
steps:
  - {name: a, tool: noop}
  - {name: b, tool: noop}
  - {name: c, tool: noop}
"""


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
        await until_ready(session, url)
        worker = process(tmp_path, "worker", internal_api_url=url, health_port=0, slots=4)
        await engine.register(CHAIN)
        async with worker as working:
            executions = [await engine.start("t/chain") for _ in range(5)]
            await eventually(lambda: all_completed(engine, executions), timeout=20)
            working.send_signal(signal.SIGTERM)
            assert await ended(working) == 0
        api.send_signal(signal.SIGTERM)
        assert await ended(api) == 0


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
