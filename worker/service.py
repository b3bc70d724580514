"""A whole worker: its parts put together, run until told to stop, and closed in order."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from importlib import metadata
from typing import TYPE_CHECKING

from engine.errors import Misconfigured
from worker.api_client import InternalApi
from worker.commands import Held
from worker.credentials import Token
from worker.heartbeat import HeartbeatThread
from worker.pool_loop import Pool, PoolLoop
from worker.step_logs import StepLogs
from worker.tools import noop
from worker.tools.addresses import AddressPolicy, AllowedAddress
from worker.tools.http import http_tool, open_session
from worker.tools.python import PythonPool
from worker.tools.shell import shell_tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from engine.runtime.health import Health
    from engine.runtime.settings import WorkerProcess, WorkerSettings
    from worker.secrets import Secrets
    from worker.tools.contract import Tool

_GRACE_SHARE = 0.9


async def work(settings: WorkerProcess, secrets: Secrets, stop: asyncio.Event, health: Health) -> None:
    """Claim and run commands until `stop`, then drain within the grace."""
    value = settings.internal_api_token.get_secret_value() if settings.internal_api_token else None
    token = Token(value=value, file=settings.internal_api_token_file)
    pool, held = pool_of(settings), Held()
    async with InternalApi(settings.internal_api_url, token) as api, open_tools(settings) as tools:
        logs = StepLogs(api)
        loop = PoolLoop(pool, api, tools, secrets=secrets, held=held, logs=logs)
        running = asyncio.get_running_loop()
        heartbeat = HeartbeatThread(
            settings.internal_api_url,
            token,
            identity=_identity(pool),
            held=held,
            on_answer=lambda cancelled, lost: running.call_soon_threadsafe(loop.give_up, cancelled, lost),
        )
        health.add("internal_api", api.fault)
        health.add("heartbeat", heartbeat.fault)
        async with _beating(heartbeat), _shipping(logs):
            await loop.run(stop, settings.grace_seconds * _GRACE_SHARE)


@asynccontextmanager
async def open_tools(settings: WorkerSettings) -> AsyncIterator[dict[str, Tool]]:
    """Open the tools by name; raises `Misconfigured` for a wrong allow-list."""
    try:
        policy = AddressPolicy(AllowedAddress.parse(entry) for entry in settings.http_allow)
    except ValueError as error:
        raise Misconfigured(f"PLAYLOG_HTTP_ALLOW: {error}") from None
    python = PythonPool(settings.tasks_path)
    try:
        async with open_session(policy) as session:
            yield {
                "noop": noop.run,
                "http": http_tool(session),
                "python": python.run,
                "shell": shell_tool(),
            }
    finally:
        await python.close()


def pool_of(settings: WorkerSettings) -> Pool:
    """Return who this worker is; without a given name it is host, process and chance."""
    made = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
    prefetch = settings.slots if settings.prefetch is None else settings.prefetch
    return Pool(
        worker_id=settings.worker_id or made, name=settings.pool, slots=settings.slots, prefetch=prefetch
    )


def _identity(pool: Pool) -> dict[str, object]:
    try:
        version = metadata.version("playlog")
    except metadata.PackageNotFoundError:
        version = "unknown"
    return {"worker_id": pool.worker_id, "pool": pool.name, "slots": pool.slots, "version": version}


@asynccontextmanager
async def _beating(heartbeat: HeartbeatThread) -> AsyncIterator[None]:
    heartbeat.start()
    try:
        yield
    finally:
        heartbeat.stop()
        await asyncio.to_thread(heartbeat.join, 1.0)


@asynccontextmanager
async def _shipping(logs: StepLogs) -> AsyncIterator[None]:
    task = asyncio.create_task(logs.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
