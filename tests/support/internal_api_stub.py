"""The wire contract of `/commands/*`, `/logs` and `/payloads` in memory: the worker's counterpart in tests.

What it has in common with the real API is proved by `tests/contracts`.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from engine.domain.events import iso

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TOKEN = "stub-token"
Body = dict[str, Any]
PROBLEM = "application/problem+json"
MAX_WAIT_SECONDS = 30.0
LEASE_SECONDS = 60.0

MEMBERS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "/commands/claim": (
        frozenset({"worker_id", "pool"}),
        frozenset({"limit", "wait_seconds", "lease_seconds", "tools"}),
    ),
    "/commands/settle": (frozenset({"worker_id", "results"}), frozenset({"claim"})),
    "/commands/release": (frozenset({"worker_id", "commands"}), frozenset()),
    "/commands/heartbeat": (
        frozenset({"worker_id", "commands"}),
        frozenset({"pool", "slots", "version", "lease_seconds"}),
    ),
    "/logs": (frozenset({"lines"}), frozenset()),
}
"""By route: the members a request must have, and those it may have."""

RESULT_MEMBERS = frozenset(
    {"command_id", "lease_token", "status", "output", "error", "result_kind", "result_uri"}
    | {"started_at", "execution_id"}
)


@dataclass
class StubCommand:
    row: Body
    pool: str = "default"
    state: str = "queued"
    worker_id: str | None = None
    lease_token: str | None = None
    result: Body | None = None
    late: Body | None = None


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
        self.payloads: dict[tuple[str, str], bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.unstorable: dict[str, str] = {}
        self.on_settled: Callable[[StubCommand], None] = lambda _command: None
        self.settle_gate = asyncio.Event()
        self.settle_gate.set()
        self.beats: list[tuple[float, list[str]]] = []
        self.peak = 0
        self.refusals = 0
        self._numbers = itertools.count(1)
        self._tokens = itertools.count(1001)
        self._versions: dict[str, int] = {}
        self._added = asyncio.Event()

    def add(self, tool: str = "noop", value: object = None, *, pool: str = "default", **more: object) -> str:
        number = str(next(self._numbers))
        row = {"command_id": number, "execution_id": "77", "step": "s", "attempt": 1, "item": None}
        row |= {
            "tool": tool,
            "input": value,
            "handles": [],
            "deferred": [],
            "idempotency_key": "77/s/1/0",
            "traceparent": None,
            "timeout_seconds": 60,
        } | more
        self.commands[number] = StubCommand(row, pool)
        self._added.set()
        return number

    def cancel(self, number: str) -> None:
        """Close a command as the end of its execution does: its lease can no longer be extended."""
        self.commands[number].state = "cancelled"

    def take_away(self, number: str) -> None:
        """Let another worker hold a command under a lease of its own."""
        command = self.commands[number]
        command.state, command.worker_id, command.lease_token = "claimed", "another", self._new_token()

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
            return web.json_response({"code": "forbidden"}, status=403, content_type=PROBLEM)
        route = request.path.removeprefix("/api/internal")
        if route.startswith("/payloads/"):
            return await self._payload(request, route.removeprefix("/payloads/"))
        body = orjson.loads(await request.read())
        self.requests.append((route, body))
        fault = self.faults[route].pop(0) if self.faults.get(route) else None
        if fault is not None and not fault.lose:
            return web.json_response({"code": "injected"}, status=fault.status, headers=fault.headers)
        if not _is_readable(route, body):
            return web.json_response({"code": "invalid"}, status=422, content_type=PROBLEM)
        answer = await self._answer(route, body)
        if fault is not None and request.transport is not None:
            request.transport.abort()
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    async def _payload(self, request: web.Request, name: str) -> web.Response:
        fault = self.faults["/payloads"].pop(0) if self.faults.get("/payloads") else None
        if fault is not None:
            return web.json_response({"code": "injected"}, status=fault.status, headers=fault.headers)
        key = (request.query["execution_id"], name)
        if request.method == "GET" and key in self.payloads:
            return web.Response(body=self.payloads[key], headers={"ETag": f'"{name}"'})
        known = {str(command.row["execution_id"]) for command in self.commands.values()}
        if request.method == "GET" or key[0] not in known:
            code = "unknown_payload" if request.method == "GET" else "unknown_execution"
            return web.json_response({"code": code}, status=404, content_type=PROBLEM)
        body, is_new = await request.read(), key not in self.payloads
        if sha256(body).hexdigest() != name:
            return web.json_response({"code": "hash_mismatch"}, status=422, content_type=PROBLEM)
        self.payloads[key] = body
        return web.json_response({"stored": is_new})

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
        ends = asyncio.get_running_loop().time() + body.get("wait_seconds", 0)
        while not (rows := self._take(body["worker_id"], body)):
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                break
            self._added.clear()
            try:
                await asyncio.wait_for(self._added.wait(), left)
            except TimeoutError:
                break
        return {"commands": rows}

    def _take(self, worker_id: str, wanted: Body) -> list[Body]:
        rows = []
        tools = wanted.get("tools")
        due = (
            command
            for command in self.commands.values()
            if command.state == "queued"
            and command.pool == wanted["pool"]
            and (tools is None or command.row["tool"] in tools)
        )
        for command in list(itertools.islice(due, max(1, wanted.get("limit", 1)))):
            command.state, command.worker_id, command.lease_token = "claimed", worker_id, self._new_token()
            rows.append(_shown(command, wanted.get("lease_seconds", LEASE_SECONDS)))
        claimed = sum(command.state == "claimed" for command in self.commands.values())
        self.peak = max(self.peak, claimed)
        return rows

    def _new_token(self) -> str:
        return str(next(self._tokens))

    async def _settle(self, body: Body) -> Body:
        await self.settle_gate.wait()
        settled, late, rejected, versions = 0, [], [], {}
        for index, result in enumerate(body["results"]):
            command = self.commands.get(str(result.get("command_id")))
            code = self._refusal(command, result)
            if command is None or code is not None:
                rejected.append({"index": index, "code": code, "detail": ""})
                continue
            execution_id = str(command.row["execution_id"])
            if command.state == "claimed":
                self._versions[execution_id] = self._versions.get(execution_id, 2) + 2
                command.state, command.result = "settled", result
                self.on_settled(command)
                settled += 1
            elif any(
                said is not None and _said(said) == _said(result) for said in (command.result, command.late)
            ):
                settled += 1
            elif command.late is None:
                command.late = result
                late.append(index)
            else:
                rejected.append({"index": index, "code": "conflict", "detail": ""})
            versions[execution_id] = self._versions.get(execution_id, 2)
        rows = self._take(body["worker_id"], claim) if (claim := body.get("claim")) else []
        known = {"settled": settled, "late": late, "rejected": rejected}
        return known | {"versions": versions, "commands": rows}

    def _refusal(self, command: StubCommand | None, result: Body) -> str | None:
        if not result.keys() <= RESULT_MEMBERS or result.get("status") not in {"completed", "failed"}:
            return "bad_type"
        if command is None:
            return "unknown_command"
        if command.lease_token is None or command.lease_token != result["lease_token"]:
            return "stale_lease"
        if result.get("result_kind") == "ref" and not self._is_stored(result["result_uri"]):
            return "unknown_payload"
        if result["status"] == "completed":
            return self.unstorable.get(result["command_id"])
        return None

    def _is_stored(self, uri: str) -> bool:
        execution_id, _, name = uri.removeprefix("payload:").partition("/")
        return (execution_id, name) in self.payloads

    def _held(self, reference: Body) -> StubCommand | None:
        """The command, if this is its lease."""
        command = self.commands.get(reference["command_id"])
        return command if command and command.lease_token == reference["lease_token"] else None

    def _release(self, body: Body) -> Body:
        released = 0
        for reference in body["commands"]:
            command = self._held(reference)
            if command is not None and command.state == "claimed":
                command.state, command.worker_id, command.lease_token = "queued", None, None
                released += 1
                self._added.set()
        return {"released": released}

    def _heartbeat(self, body: Body) -> Body:
        answer: dict[str, list[str]] = {"extended": [], "cancelled": [], "lost": []}
        for reference in body["commands"]:
            command = self._held(reference)
            closed = "extended" if command is not None and command.state == "claimed" else "cancelled"
            answer["lost" if command is None else closed].append(reference["command_id"])
        self.beats.append((time.monotonic(), [reference["command_id"] for reference in body["commands"]]))
        return dict(answer)


def _is_readable(route: str, body: Body) -> bool:
    required, optional = MEMBERS[route]
    waits = body.get("wait_seconds", 0)
    return required <= body.keys() <= required | optional and 0 <= waits <= MAX_WAIT_SECONDS


def _shown(command: StubCommand, lease_seconds: float) -> Body:
    now, seconds = datetime.now(UTC), command.row["timeout_seconds"] or LEASE_SECONDS
    until = {
        "leased_until": iso(now + timedelta(seconds=min(lease_seconds, seconds))),
        "deadline": iso(now + timedelta(seconds=seconds)),
    }
    return until | command.row | {"lease_token": command.lease_token}


def _said(result: Body) -> list[object]:
    """What makes a repeated result the same one: its times do not."""
    return [result["status"], result.get("output"), result.get("result_uri"), result.get("error")]


@asynccontextmanager
async def serving() -> AsyncIterator[InternalApiStub]:
    stub = InternalApiStub()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/api/internal/{tail:.*}", stub.handle)
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
