"""A public API on a real database and a real port, its projection done by hand."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from engine.read.projection import advance
from engine.runtime.bus import OpenTail
from engine.runtime.database import Connection, Pool, checkout, connect, open_pool
from engine.runtime.health import Health
from engine.runtime.http import serve
from engine.runtime.loop import run_role
from engine.runtime.memory import MemoryStream
from engine.runtime.settings import PublicApiProcess
from engine.write.desk import open_desk
from engine.write.writer import Appender
from public_api.live import Live, open_live, projected_levels
from public_api.process import make_public_app, reader
from public_api.routes import Api
from public_api.waiters import Waiters
from public_api.watch import SafetyLook, Watch

YAML = {"Content-Type": "application/yaml"}
JSON = {"Content-Type": "application/json"}

ONE_STEP = """
playbook: tests/one
description: One step.
owner: team-a
tags: [small, quick]
inputs:
  name: {type: string, default: world}
steps:
  - name: only
    tool: noop
    with: {name: "${inputs.name}"}
output: "${inputs.name}"
"""

WAITING = """
playbook: tests/deep/waiting
steps:
  - name: ask
    wait: {event: answer, timeout: 1h}
output: "${steps.ask.output}"
"""


class CountedPool:
    """A pool that counts how often a connection was borrowed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.borrowed = 0

    async def acquire(self, *, timeout: float) -> Any:  # noqa: ASYNC109 - asyncpg's signature
        self.borrowed += 1
        return await self._pool.acquire(timeout=timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(slots=True)
class PublicApi:
    """The running API, a client of it, and the hands that do what other processes do."""

    session: aiohttp.ClientSession
    pool: CountedPool
    waiters: Waiters
    live: Live
    connection: Connection
    wakes: list[tuple[str, bytes]]
    app: web.Application
    appender: Appender
    port: int = 0
    started: list[int] = field(default_factory=list)

    async def call(self, method: str, path: str, **more: Any) -> Answer:
        path = path if path.startswith("/api/") else f"/api/v1{path}"
        if isinstance(more.get("data"), bytes):
            more["data"] = io.BytesIO(more["data"])  # what aiohttp wants of a large body
        async with self.session.request(method, path, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.call("GET", path, **more)

    async def post(self, path: str, content: Any = None, **more: Any) -> Answer:
        if content is not None:
            more = {"data": orjson.dumps(content), **more}
            more["headers"] = {**JSON, **more.get("headers", {})}
        return await self.call("POST", path, **more)

    async def register(self, source: str) -> Answer:
        return await self.post("/playbooks", data=source, headers=YAML)

    async def start(self, playbook: str = "tests/one", **more: Any) -> int:
        answer = await self.post("/executions", {"playbook": playbook, **more})
        assert answer.status == 201, answer.body
        return int(answer.json["execution_id"])

    async def project(self, *execution_ids: int, wake: bool = True) -> None:
        """Do what the projector does; the wake is optional, as it may be lost."""
        done = await advance(self.connection, execution_ids)
        if wake:
            self.waiters.heard(orjson.dumps(list(done.versions.items())))

    async def rows(self, table: str) -> int:
        return int(await self.connection.fetchval(f"select count(*) from playlog.{table}"))


@contextlib.asynccontextmanager
async def running_public_api(
    database_url: str, open_tail: OpenTail | None = None, **more: Any
) -> AsyncIterator[PublicApi]:
    """`open_tail` reads the stream of all events, which is empty without; `more` are further settings."""
    settings = PublicApiProcess(
        database_url=database_url, host="127.0.0.1", database_start_timeout=2.0, **more
    )
    wakes: list[tuple[str, bytes]] = []
    async with contextlib.AsyncExitStack() as stack:
        pool = await open_pool(settings)
        stack.push_async_callback(pool.close)
        connection = await connect(settings)
        stack.push_async_callback(connection.close)
        desk = await stack.enter_async_context(
            open_desk(lambda: connect(settings), lambda: checkout(pool), lambda *wake: wakes.append(wake))
        )
        counted: Any = CountedPool(pool)
        waiters = Waiters(reader(counted), Watch(projected_levels(counted)))
        tails = open_tail or MemoryStream().tail
        live = await stack.enter_async_context(open_live(settings, counted, tails))
        desk.after.listeners.append(lambda done: live.recorded.heard(orjson.dumps([*done.versions.items()])))
        await stack.enter_async_context(looking(SafetyLook(waiters.watch, live.recorded, live.logged)))
        api = Api(pool=counted, desk=desk, waiters=waiters, live=live)
        app = make_public_app(api, Health(), settings)
        server = await serve(app, 0)
        stack.push_async_callback(server.close)
        session = aiohttp.ClientSession(f"http://127.0.0.1:{server.port}")
        stack.push_async_callback(session.close)
        stack.callback(live.sources.close)
        yield PublicApi(session, counted, waiters, live, connection, wakes, app, desk.appender, server.port)


@contextlib.asynccontextmanager
async def looking(look: SafetyLook) -> AsyncIterator[None]:
    """Run the role for the block."""
    stop = asyncio.Event()
    role = asyncio.create_task(run_role(look, stop=stop, wake=look.wake))
    try:
        yield
    finally:
        stop.set()
        await role
