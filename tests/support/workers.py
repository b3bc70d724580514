"""A worker inside the test's event loop, with tools of the test's choice, against the API stub."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.internal_api_stub import TOKEN, InternalApiStub
from worker.api_client import InternalApi
from worker.commands import Held
from worker.credentials import Token
from worker.heartbeat import HeartbeatThread
from worker.pool_loop import Pool, PoolLoop
from worker.secrets import Secrets
from worker.step_logs import StepLogs
from worker.tools import noop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from worker.tools.contract import Tool


@dataclass
class RunningWorker:
    loop: PoolLoop
    held: Held
    stop: asyncio.Event
    task: asyncio.Task[None]


@asynccontextmanager
async def running(
    stub: InternalApiStub,
    tools: Mapping[str, Tool] | None = None,
    *,
    slots: int = 4,
    prefetch: int = 0,
    beat: float = 0.05,
    grace: float = 5.0,
) -> AsyncIterator[RunningWorker]:
    """Run a worker against the stub until the block ends, then drain it."""
    pool = Pool(worker_id="w1", name="default", slots=slots, prefetch=prefetch)
    async with working(stub.url, TOKEN, tools or {}, pool=pool, beat=beat, grace=grace) as worker:
        try:
            yield worker
        finally:
            stub.settle_gate.set()


@asynccontextmanager
async def working(
    url: str,
    token: str,
    tools: Mapping[str, Tool],
    *,
    pool: Pool,
    secrets: Secrets | None = None,
    beat: float = 10.0,
    grace: float = 5.0,
) -> AsyncIterator[RunningWorker]:
    """Run a worker against any internal API until the block ends, then drain it."""
    credentials, held, stop = Token(value=token), Held(), asyncio.Event()
    async with InternalApi(url, credentials) as api:
        logs = StepLogs(api)
        known = {"noop": noop.run, **tools}
        loop = PoolLoop(pool, api, known, secrets=secrets or Secrets(), held=held, logs=logs)
        call = asyncio.get_running_loop().call_soon_threadsafe
        heartbeat = HeartbeatThread(
            url,
            credentials,
            identity={"worker_id": "w1", "pool": "default", "slots": pool.slots, "version": "0"},
            held=held,
            on_answer=lambda cancelled, lost: call(loop.give_up, cancelled, lost),
            interval=beat,
        )
        heartbeat.start()
        task = asyncio.create_task(loop.run(stop, grace))
        shipping = asyncio.create_task(logs.run())
        try:
            yield RunningWorker(loop, held, stop, task)
        finally:
            stop.set()
            await task
            shipping.cancel()
            await asyncio.gather(shipping, return_exceptions=True)
            heartbeat.stop()
            await asyncio.to_thread(heartbeat.join)
