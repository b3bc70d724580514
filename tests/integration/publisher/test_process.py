"""The process publishes what is appended, says that it is ready, asks little, and ends on SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import aiohttp
import asyncpg
import pytest

from engine.runtime import database
from engine.runtime.settings import DatabaseSettings
from publisher.process import HELPER_SECONDS
from publisher.stream_watch import RECHECK_SECONDS
from tests.support import outbox
from tests.support.crashing import Plan, crashing
from tests.support.eventually import eventually
from tests.support.servers import Connection
from tests.support.tree import ROOT


async def test_it_publishes_until_it_is_told_to_stop(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    port = _free_port()
    environment = os.environ | {
        "PLAYLOG_DATABASE_URL": database_url,
        "PLAYLOG_NATS_URL": nats_url,
        "PLAYLOG_HEALTH_PORT": str(port),
        "PLAYLOG_HEALTH_HOST": "127.0.0.1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "publisher", cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await outbox.record(connection, range(1, 200), events=2)

        async def drained() -> None:
            assert await outbox.waiting(connection) == 0

        await eventually(drained, timeout=30)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                assert answer.status == 200, await answer.text()
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                assert "playlog_publisher_messages_total 199.0" in await answer.text()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert outbox.gaps(await outbox.stream_content(nats_url), dict.fromkeys(range(1, 200), 2)) == []


async def test_an_idle_publisher_asks_less_than_once_a_second(
    database_url: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan()

    async def connect(settings: DatabaseSettings, *, name: str = "") -> Connection:
        return await asyncpg.connect(
            settings.database_url, timeout=10, command_timeout=30, connection_class=crashing(plan)
        )

    monkeypatch.setattr(database, "connect", connect)
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await publisher.step()
        before = plan.calls
        seconds = await publisher.step()
        assert 0 < plan.calls - before <= 3
    looking = 3 / seconds + 3 / HELPER_SECONDS
    checking_the_stream = 3 / RECHECK_SECONDS + 3 / HELPER_SECONDS
    assert looking + checking_the_stream < 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
