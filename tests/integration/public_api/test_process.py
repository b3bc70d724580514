"""The process: ready on both ports, woken over NATS, ends on SIGTERM, and refuses to be an open door."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import nats
import orjson
import pytest

from engine.read.projection import advance
from tests.support.eventually import eventually
from tests.support.public_api import WAITING, YAML
from tests.support.servers import Connection
from tests.support.tree import ROOT


@asynccontextmanager
async def public_api(**settings: object) -> AsyncIterator[Process]:
    """Start `python -m public_api`; kill what is left of it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYLOG_")}
    environment |= {f"PLAYLOG_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "public_api"), cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def status(session: aiohttp.ClientSession, path: str) -> int:
    try:
        async with session.get(path) as answer:
            return answer.status
    except aiohttp.ClientConnectionError:
        return 0


async def until_ready(session: aiohttp.ClientSession) -> None:
    async def ready() -> None:
        assert await status(session, "/readyz") == 200

    await eventually(ready, timeout=30)


async def test_it_serves_until_it_is_told_to_stop(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    port, health_port = free_port(), free_port()
    settings = {
        "database_url": database_url,
        "nats_url": nats_url,
        "public_api_port": port,
        "health_port": health_port,
    }
    url = f"http://127.0.0.1:{port}"
    async with public_api(**settings) as process, aiohttp.ClientSession(url) as session:
        await until_ready(session)
        assert [await status(session, path) for path in ("/livez", "/healthz", "/metrics")] == [200, 200, 404]
        for path in ("/livez", "/readyz", "/metrics"):
            assert await status(session, f"http://127.0.0.1:{health_port}{path}") == 200
        await be_woken(session, connection, nats_url)
        execution_id = await start(session)
        path = f"/api/v1/executions/{execution_id}/wait"
        waiting = asyncio.create_task(session.get(path))
        await advance(connection, [execution_id])
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
        assert (await waiting).status == 503


async def start(session: aiohttp.ClientSession) -> int:
    await session.post("/api/v1/playbooks", data=WAITING, headers=YAML)
    async with session.post("/api/v1/executions", json={"playbook": "tests/deep/waiting"}) as answer:
        assert answer.status == 201
        return int((await answer.json())["execution_id"])


async def be_woken(session: aiohttp.ClientSession, connection: Connection, nats_url: str) -> None:
    """Wait for an execution whose end another process projects and announces."""
    execution_id = await start(session)
    waiting = asyncio.create_task(session.get(f"/api/v1/executions/{execution_id}/wait"))
    async with session.post(f"/api/v1/executions/{execution_id}/signals/answer", json=7) as answer:
        assert answer.status == 202
    versions = (await advance(connection, [execution_id])).versions
    client = await nats.connect(nats_url)
    await client.publish("playlog.wake.snapshots", orjson.dumps(list(versions.items())))
    await client.close()
    answer = await waiting
    assert (answer.status, (await answer.json())["output"]) == (200, 7)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"host": "0.0.0.0"}, "PLAYLOG_PUBLIC_AUTH=none lets everyone in"),
        ({"host": "192.0.2.1"}, "PLAYLOG_PUBLIC_AUTH=none lets everyone in"),
        ({}, "PLAYLOG_DATABASE_URL is not set"),
    ],
)
async def test_it_refuses_to_start_as_an_open_door(settings: dict[str, str], said: str) -> None:
    async with public_api(health_port=0, nats_url="nats://127.0.0.1:1", **settings) as process:
        _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert f"playlog public-api: {said}" in stderr.decode()


async def test_a_taken_port_is_said_in_plain_words(database_url: str, nats_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"database_url": database_url, "nats_url": nats_url, "health_port": 0}
        async with public_api(**settings, public_api_port=port) as process:
            _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert f"PLAYLOG_PUBLIC_API_PORT: cannot listen on 127.0.0.1:{port}" in stderr.decode()
