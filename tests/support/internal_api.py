"""The internal API over real HTTP, on a real database: what the routes need, a server and a client."""

from __future__ import annotations

import io
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from engine.runtime.broker import Broker
from engine.runtime.database import open_pool
from engine.runtime.health import Health
from engine.runtime.http import serve
from engine.runtime.settings import BrokerSettings, DatabaseSettings, HttpSettings
from engine.write.executions import StartOrder, start
from internal_api.app import build_app
from internal_api.process import open_api
from internal_api.tokens import Tokens
from tests.support import servers
from tests.support.engine import Engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from internal_api.api import Api

TOKEN = "a-token"
NOWHERE = "nats://127.0.0.1:9"


@dataclass
class Answer:
    """What came back: `body` is the parsed JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.body
        return str(self.body["code"])


@dataclass
class Client:
    """Calls the API with its token; `engine` is the write side that the API itself uses."""

    session: aiohttp.ClientSession
    api: Api
    engine: Engine
    url: str
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {TOKEN}"})

    async def post(self, route: str, body: object, **headers: str) -> Answer:
        """Send an object as JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        return await self._send("POST", route, data, {"Content-Type": "application/json", **headers})

    async def get(self, route: str) -> Answer:
        return await self._send("GET", route, None, {})

    async def delete(self, route: str) -> Answer:
        return await self._send("DELETE", route, None, {})

    async def _send(self, method: str, route: str, data: bytes | None, headers: dict[str, str]) -> Answer:
        url = route if route.startswith("/livez") else f"/api/internal{route}"
        body = None if data is None else io.BytesIO(data)
        async with self.session.request(method, url, data=body, headers=self.headers | headers) as response:
            return Answer(response.status, response.headers, orjson.loads(await response.read()))

    async def start(self, playbook: str, **order: Any) -> int:
        """Start an execution through the process's own appender."""
        asked = StartOrder(playbook=playbook, **order)
        standing = await start(self.api.borrow, self.api.desk.appender, self.engine.definitions, asked)
        return standing.execution_id

    async def claim(self, **body: object) -> list[dict[str, Any]]:
        answer = await self.post("/commands/claim", {"worker_id": "w1", "pool": "default", **body})
        assert answer.status == 200, answer.body
        commands: list[dict[str, Any]] = answer.body["commands"]
        return commands

    async def settle(self, *results: object, **body: object) -> Answer:
        return await self.post("/commands/settle", {"worker_id": "w1", "results": list(results), **body})


def result(command: dict[str, Any], output: object = None, **more: object) -> dict[str, Any]:
    """A result that completes a claimed command."""
    lease = {"command_id": command["command_id"], "lease_token": command["lease_token"]}
    return {**lease, "status": "completed", "output": output, **more}


@asynccontextmanager
async def serving(
    database_url: str,
    *,
    nats_url: str = NOWHERE,
    token: str | None = TOKEN,
    token_file: Path | None = None,
) -> AsyncIterator[Client]:
    """The API on a free port."""
    database = DatabaseSettings(database_url=database_url)
    pool = await open_pool(database, size=5)
    broker = Broker(BrokerSettings(nats_url=nats_url))
    await broker.connect(wait_seconds=5 if nats_url != NOWHERE else 0)
    try:
        async with open_api(database, pool, broker) as api:
            app = build_app(api, Tokens(token, token_file), Health(), HttpSettings())
            server = await serve(app, 0)
            base = f"http://127.0.0.1:{server.port}"
            try:
                async with (
                    aiohttp.ClientSession(base) as session,
                    servers.connected(database_url) as connection,
                ):
                    yield Client(session, api, Engine(connection, api.desk.appender, []), base)
                    api.bell.close()
            finally:
                await server.close()
    finally:
        await broker.close()
        await pool.close()
