"""The wire contract of `/commands/*` and `/logs` in memory: the worker's counterpart in tests."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TOKEN = "stub-token"
Body = dict[str, Any]
MAX_WAIT_SECONDS = 30.0


@dataclass
class StubCommand:
    row: Body
    state: str = "queued"
    worker_id: str | None = None
    lease_token: str | None = None
    result: Body | None = None


@dataclass
class Fault:
    """What to do to the next request of a route: `lose` it after it took effect, or refuse it."""

    lose: bool = False
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)


class InternalApiStub:
    def __init__(self) -> None:
        self.url = ""
        self.commands: dict[str, StubCommand] = {}
        self.requests: list[tuple[str, Body]] = []
        self.lines: dict[tuple[str, int], Body] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.cancelled: set[str] = set()
        self.lost: set[str] = set()
        self.unstorable: dict[str, str] = {}
        self.on_settled: Callable[[StubCommand], None] = lambda _command: None
        self.settle_gate = asyncio.Event()
        self.settle_gate.set()
        self.beats: list[tuple[float, list[str]]] = []
        self.peak = 0
        self.refusals = 0
        self._numbers = itertools.count(1)
        self._tokens = itertools.count(1)
        self._added = asyncio.Event()

    def add(self, tool: str = "noop", value: object = None, **more: object) -> str:
        number = str(next(self._numbers))
        row = {"command_id": number, "execution_id": "77", "step": "s", "attempt": 1, "tool": tool}
        row |= {"input": value, "traceparent": None, "timeout_seconds": 60} | more
        self.commands[number] = StubCommand(row)
        self._added.set()
        return number

    def fail_next(self, route: str, fault: Fault) -> None:
        self.faults.setdefault(route, []).append(fault)

    def bodies(self, route: str) -> list[Body]:
        return [body for at, body in self.requests if at == route]

    def result(self, number: str) -> Body:
        command = self.commands[number]
        assert command.state == "settled", f"{number} is {command.state}"
        assert command.result is not None
        return command.result

    def settled(self) -> int:
        return sum(command.state == "settled" for command in self.commands.values())

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.refusals += 1
            return web.json_response({"code": "forbidden"}, status=403)
        route = request.path.removeprefix("/api/internal")
        body = orjson.loads(await request.read())
        self.requests.append((route, body))
        fault = self.faults[route].pop(0) if self.faults.get(route) else None
        if fault is not None and not fault.lose:
            return web.json_response({"code": "injected"}, status=fault.status, headers=fault.headers)
        answer = await self._answer(route, body)
        if fault is not None and request.transport is not None:
            request.transport.abort()
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    async def _answer(self, route: str, body: Body) -> Body:
        match route:
            case "/commands/claim":
                return await self._claim(body)
            case "/commands/settle":
                return await self._settle(body)
            case "/commands/release":
                return self._release(body)
            case "/commands/heartbeat":
                return self._heartbeat(body)
            case "/logs":
                known = len(self.lines)
                self.lines |= {(line["command_id"], line["seq"]): line for line in body["lines"]}
                return {"stored": len(self.lines) - known}
            case _:
                raise web.HTTPNotFound

    async def _claim(self, body: Body) -> Body:
        ends = asyncio.get_running_loop().time() + min(body.get("wait_seconds", 0), MAX_WAIT_SECONDS)
        while not (rows := self._take(body["worker_id"], body["limit"])):
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                break
            self._added.clear()
            try:
                await asyncio.wait_for(self._added.wait(), left)
            except TimeoutError:
                break
        return {"commands": rows}

    def _take(self, worker_id: str, limit: int) -> list[Body]:
        rows = []
        queued = (command for command in self.commands.values() if command.state == "queued")
        for command in list(itertools.islice(queued, limit)):
            command.state, command.worker_id = "claimed", worker_id
            command.lease_token = f"t{next(self._tokens)}"
            rows.append(command.row | {"lease_token": command.lease_token})
        claimed = sum(command.state == "claimed" for command in self.commands.values())
        self.peak = max(self.peak, claimed)
        return rows

    async def _settle(self, body: Body) -> Body:
        await self.settle_gate.wait()
        rejected = []
        for index, result in enumerate(body["results"]):
            command = self.commands.get(result["command_id"])
            if command is None or command.lease_token != result["lease_token"]:
                code = "unknown_command" if command is None else "stale_lease"
                rejected.append({"index": index, "code": code, "detail": ""})
            elif result["status"] == "completed" and result["command_id"] in self.unstorable:
                code = self.unstorable[result["command_id"]]
                rejected.append({"index": index, "code": code, "detail": ""})
            elif command.state == "claimed":
                command.state, command.result = "settled", result
                self.on_settled(command)
        claim = body.get("claim")
        rows = self._take(body["worker_id"], claim["limit"]) if claim else []
        settled = len(body["results"]) - len(rejected)
        return {"settled": settled, "late": [], "rejected": rejected, "versions": {}, "commands": rows}

    def _release(self, body: Body) -> Body:
        for reference in body["commands"]:
            command = self.commands[reference["command_id"]]
            assert command.lease_token == reference["lease_token"]
            command.state = "released"
        return {"released": len(body["commands"])}

    def _heartbeat(self, body: Body) -> Body:
        ids = [reference["command_id"] for reference in body["commands"]]
        self.beats.append((time.monotonic(), ids))
        cancelled, lost = self.cancelled.intersection(ids), self.lost.intersection(ids)
        extended = [i for i in ids if i not in cancelled | lost]
        return {"extended": extended, "cancelled": sorted(cancelled), "lost": sorted(lost)}


@asynccontextmanager
async def serving() -> AsyncIterator[InternalApiStub]:
    stub = InternalApiStub()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/api/internal/{tail:.*}", stub.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stub
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_in_a_thread() -> AsyncIterator[InternalApiStub]:
    """Serve from another event loop: it answers while the test's loop is blocked."""
    ready: asyncio.Future[InternalApiStub] = asyncio.get_running_loop().create_future()
    loop, ended = asyncio.new_event_loop(), asyncio.Event()
    home = asyncio.get_running_loop()

    async def serve() -> None:
        async with serving() as stub:
            home.call_soon_threadsafe(ready.set_result, stub)
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield await ready
    finally:
        loop.call_soon_threadsafe(ended.set)
        await asyncio.to_thread(thread.join)
        loop.close()
