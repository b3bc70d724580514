"""The internal API twice, the real one and the double that the worker's tests use: one contract for both."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import aiohttp
import orjson
import pytest

from engine.write import executions
from tests.support import internal_api, internal_api_stub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.internal_api import Client
    from tests.support.internal_api_stub import InternalApiStub

PLAYBOOK = """
playbook: t/contract
steps:
  - {name: only, tool: noop, with: {word: hello}}
"""


class Implementation(Protocol):
    """What the contract needs of an API besides its routes."""

    session: aiohttp.ClientSession
    token: str

    async def issue(self) -> str:
        """Issue one command of an execution of its own, whose id is returned."""

    async def cancel(self, execution_id: str) -> None:
        """Cancel an execution and with it its command."""


@dataclass
class Real:
    client: Client
    session: aiohttp.ClientSession
    token: str = internal_api.TOKEN

    async def issue(self) -> str:
        return str(await self.client.start("t/contract"))

    async def cancel(self, execution_id: str) -> None:
        await executions.cancel(self.client.api.desk.appender, int(execution_id))


@dataclass
class Double:
    stub: InternalApiStub
    session: aiohttp.ClientSession
    token: str = internal_api_stub.TOKEN
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(501))

    async def issue(self) -> str:
        execution_id = str(next(self.numbers))
        self.stub.add("noop", {"word": "hello"}, execution_id=execution_id, step="only")
        return execution_id

    async def cancel(self, execution_id: str) -> None:
        for number, command in self.stub.commands.items():
            if command.row["execution_id"] == execution_id:
                self.stub.cancel(number)


@pytest.fixture
async def real(database_url: str) -> AsyncIterator[Implementation]:
    async with internal_api.serving(database_url) as client:
        await client.engine.register(PLAYBOOK)
        yield Real(client, client.session)


@pytest.fixture
async def double() -> AsyncIterator[Implementation]:
    async with internal_api_stub.serving() as stub, aiohttp.ClientSession(stub.url) as session:
        yield Double(stub, session)


@dataclass
class Wire:
    """A worker at the wire of one implementation."""

    implementation: Implementation

    async def post(self, route: str, body: object, token: str | None = None) -> internal_api.Answer:
        headers = {
            "Authorization": f"Bearer {token or self.implementation.token}",
            "Content-Type": "application/json",
        }
        url, data = f"/api/internal{route}", orjson.dumps(body)
        async with self.implementation.session.post(url, data=data, headers=headers) as response:
            return internal_api.Answer(response.status, response.headers, orjson.loads(await response.read()))

    async def payload(
        self, method: str, execution_id: str, name: str, body: bytes | None = None
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self.implementation.token}"}
        url = f"/api/internal/payloads/{name}?execution_id={execution_id}"
        session = self.implementation.session
        async with session.request(method, url, data=body, headers=headers) as response:
            return response.status, await response.read()

    async def ask(self, route: str, **body: object) -> internal_api_stub.Body:
        """The answer to a request of this worker that the API accepts."""
        answer = await self.post(f"/commands/{route}", {"worker_id": "w1", **body})
        assert answer.status == 200, answer.body
        accepted: internal_api_stub.Body = answer.body
        return accepted

    async def claim(self, **body: object) -> list[internal_api_stub.Body]:
        commands: list[internal_api_stub.Body] = (await self.ask("claim", pool="default", **body))["commands"]
        return commands

    async def issue_and_claim(self) -> internal_api_stub.Body:
        await self.implementation.issue()
        (command,) = await self.claim()
        return command


@pytest.fixture(params=["real", "double"])
def wire(request: pytest.FixtureRequest) -> Wire:
    """The wire of each implementation in turn; only the real one costs a database."""
    return Wire(request.getfixturevalue(request.param))
