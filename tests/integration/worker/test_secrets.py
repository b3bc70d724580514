"""Secrets on the whole stack: they reach the tool that needs them, and nothing that is kept or logged."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import textwrap
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from aiohttp import web

from engine.read.projection import advance
from engine.write.executions import cancel
from tests.support import workers
from tests.support.eventually import eventually
from tests.support.internal_api import TOKEN, Client, serving
from tests.support.tool_contexts import Logged
from tests.support.tree import ROOT
from tests.support.worker_process import worker_process
from worker.masking import Mask
from worker.pool_loop import Pool
from worker.secrets import Secrets
from worker.tools.addresses import AddressPolicy, AllowedAddress
from worker.tools.capture import LINE_LIMIT
from worker.tools.contract import ToolFailed
from worker.tools.http import http_tool, open_session
from worker.tools.python import PythonPool
from worker.tools.shell import STREAM_LIMIT, shell_tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import asyncpg

    from worker.tools.contract import ToolContext

VALUE = 'gr8+t0ken/with="all" of=it'
OTHER = "s3cond-one"
FORMS = [
    VALUE,
    json.dumps(VALUE)[1:-1],
    quote(VALUE),
    quote(VALUE, safe=""),
    base64.b64encode(VALUE.encode()).decode()[:24],
    OTHER,
    VALUE[:5],
]
"""What must be found nowhere; the last is all that a cut text may hold of a value."""

PLAYBOOK = """
playbook: t/secrets
inputs: {server: {type: string}, size: {type: integer}}
steps:
  - name: get
    tool: http
    with:
      url: "${ inputs.server + '/echo?q=' + string(inputs.size) }"
      headers: {authorization: "${ 'Bearer ' + secret('TOKEN') }", x-basic: "${ secret('BASIC') }"}
      query: {token: "${ secret('TOKEN') }"}
  - name: refused
    tool: http
    with: {url: "${ inputs.server + '/refuse' }", method: POST, body: {token: "${ secret('TOKEN') }"}}
    on_error: [{then: continue}]
  - name: unreachable
    tool: http
    with: {url: "${ 'http://user:' + secret('OTHER') + '@127.0.0.1:1/' }"}
    on_error: [{then: continue}]
  - name: print
    tool: shell
    with:
      command: |
        printf '%s' "$TOKEN" | cut -c 1-9 | tr -d '\\n'; sleep 0.2; printf '%s' "$TOKEN" | cut -c 10-
        printf '%s\\n' "$TOKEN" >&2; env | grep -c PLAYLOG; exit 0
      env: {TOKEN: "${ secret('TOKEN') }"}
  - name: large
    tool: python
    with:
      call: "secret_tasks:large"
      args: {token: "${ secret('TOKEN') }", of: "${ steps.get.output.status }"}
  - name: broken
    tool: python
    with: {call: "secret_tasks:broken", args: {token: "${ [secret('TOKEN'), secret('OTHER')] }"}}
    on_error: [{then: continue}]
output: "${ {'get': steps.get.output, 'large': steps.large.output, 'print': steps.print.output} }"
"""
TASKS = """
import os

def large(token, of):
    found = [name for name in os.environ if name.startswith("PLAYLOG")]
    return {token: of, "rows": [f"row {number} {token}" for number in range(10_000)], "found": found}

def broken(token):
    print("printed", *token)
    raise ValueError("x" * 1_980 + str(token) + "".join(token))
"""
BLOCKED = """
playbook: t/blocked
steps:
  - name: call
    tool: python
    with: {call: "any:thing", args: {token: "${ secret('TOKEN') }"}}
    retry: {max_attempts: 50, delay: 10ms}
"""


@asynccontextmanager
async def _server(answer: Callable[[web.Request, str], web.Response]) -> AsyncIterator[str]:
    """A service; its answers are made from the request and its body."""

    async def handle(request: web.Request) -> web.Response:
        return answer(request, await request.text())

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _process(tmp_path: Path, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process with a secret in each place where one can be."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "TOKEN").write_text(VALUE + "\n")
    (tmp_path / "secret_tasks.py").write_text(textwrap.dedent(TASKS))
    basic = base64.b64encode(f"user:{VALUE}".encode()).decode()
    settings = {
        "log_level": "debug",
        "internal_api_url": url,
        "internal_api_token": TOKEN,
        "http_allow": "127.0.0.1",
        "tasks_path": tmp_path,
        "secrets_dir": tmp_path / "secrets",
        "secret_other": OTHER,
        "secret_basic": basic,
    }
    async with worker_process(tmp_path, **settings) as process:
        yield process


async def test_a_value_reaches_the_tools_and_is_kept_and_logged_nowhere(
    database_url: str, tmp_path: Path
) -> None:
    seen: list[tuple[str | None, str]] = []

    def answer(request: web.Request, body: str) -> web.Response:
        seen.append((request.headers.get("Authorization"), request.query.get("token", body)))
        told = {
            "headers": dict(request.headers),
            "url": str(request.url),
            "body": body,
            "path": request.path_qs,
        }
        return web.json_response(told, status=403 if request.path == "/refuse" else 200)

    async with _server(answer) as service, serving(database_url) as client:
        await client.engine.register(PLAYBOOK)
        async with _process(tmp_path, client.url) as process:
            execution_id = await client.start("t/secrets", inputs={"server": service, "size": 7})
            await eventually(lambda: _ended(client, execution_id), timeout=30)
            process.terminate()
            _, logged = await asyncio.wait_for(process.communicate(), 20)
        await advance(client.engine.connection, [execution_id])
        kept = await _everything(client.engine.connection)
    assert seen[0] == (f"Bearer {VALUE}", VALUE)
    assert json.loads(seen[1][1]) == {"token": VALUE}
    assert [form for form in FORMS if form in kept] == []
    assert [form for form in FORMS if form in logged.decode()] == []
    # The search would find it: everything around the values is there.
    assert all(word in kept for word in ("Bearer ***", "row 9999 ***", "printed *** ***", "q=7&token=***"))
    assert "secret('TOKEN')" in kept
    assert '"found":["PLAYLOG_IDEMPOTENCY_KEY"]' in kept
    assert b"worker.drained" in logged


async def _ended(client: Client, execution_id: int) -> None:
    types = await client.engine.types(execution_id)
    assert types[-1] in {"execution.completed", "execution.failed"}


async def _everything(connection: asyncpg.Connection) -> str:
    """Every value of every table as text."""
    tables = await connection.fetch(
        "select relname from pg_class where relnamespace = 'playlog'::regnamespace and relkind in ('r', 'p')"
    )
    found: list[str] = []
    for table in tables:
        for row in await connection.fetch(f'select * from playlog."{table["relname"]}"'):
            found += [each.decode(errors="replace") if isinstance(each, bytes) else str(each) for each in row]
    lengths = [len(text) for text in found]
    assert max(lengths) > 100_000, "the large output is not there"
    return "\n".join(found)


async def test_a_value_that_a_limit_divides_is_hidden_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "cut.py").write_text(f"def cut(value):\n    print('x' * {LINE_LIMIT - 4} + value)\n")
    logged = Logged()
    context = replace(logged.context(), mask=Mask([VALUE]))
    rest = STREAM_LIMIT - 3 * LINE_LIMIT
    script = f"""
        zeros() {{ head -c $1 /dev/zero | tr '\\0' x; }}
        zeros {LINE_LIMIT - 4}; echo "$T"; zeros {2 * LINE_LIMIT}; echo; zeros {rest - 20}; echo "$T$T$T"
        zeros 1000 >&2; printf '%s' "$T" >&2; zeros 2044 >&2; exit 1
    """
    with pytest.raises(ToolFailed) as failed:
        await shell_tool()({"command": script, "env": {"T": VALUE}}, context)
    python = PythonPool([tmp_path])
    try:
        await python.run({"call": "cut:cut", "args": {"value": VALUE}}, context)
    finally:
        await python.close()

    def answer(_: web.Request, body: str) -> web.Response:
        return web.Response(text="x" * 2044 + body, status=500)

    policy = AddressPolicy([AllowedAddress.parse("127.0.0.1")])
    async with _server(answer) as service, open_session(policy) as session:
        with pytest.raises(ToolFailed) as refused:
            await http_tool(session)({"method": "POST", "url": service, "text": VALUE}, context)
    found = json.dumps([logged.lines, failed.value.details, refused.value.details])
    assert [part for part in (VALUE[:4], VALUE[-4:]) if part in found] == []
    assert "***" in found


class Blocked:
    """A tool that prints its secret and waits until it may return it, or fail, in a text of its own."""

    def __init__(self, failure: str | None = None) -> None:
        self.begun: list[Any] = []
        self.may_end = asyncio.Event()
        self._failure = failure

    async def __call__(self, value: Any, context: ToolContext) -> object:
        token = value["args"]["token"]
        self.begun.append(token)
        context.log("stdout", f"begun {token}")
        await self.may_end.wait()
        if self._failure is not None:
            raise ToolFailed(self._failure, f"not {token}", details={"sent": [token]})
        return f"used {token}"


@asynccontextmanager
async def _working(
    client: Client, tool: Blocked, secrets: Secrets, grace: float = 5.0
) -> AsyncIterator[None]:
    pool, tools = Pool(worker_id="w1", name="default", slots=2, prefetch=0), {"python": tool}
    async with workers.working(client.url, TOKEN, tools, pool=pool, secrets=secrets, grace=grace):
        yield


def _some(value: object) -> None:
    assert value


async def _start(client: Client) -> int:
    await client.engine.register(BLOCKED)
    return await client.start("t/blocked")


async def test_a_missing_secret_fails_the_attempt_and_the_next_one_finds_it(
    database_url: str, tmp_path: Path
) -> None:
    tool = Blocked()
    tool.may_end.set()
    async with serving(database_url) as client, _working(client, tool, Secrets(tmp_path)):
        execution_id = await _start(client)
        await eventually(lambda: _has(client, execution_id, "command.failed"))
        (tmp_path / "TOKEN").write_text("hunter22")
        await eventually(lambda: _ended(client, execution_id))
        log = await client.engine.log(execution_id)
    payloads: dict[str, Any] = {event.event_type: event.payload for event in log}
    error = payloads["command.failed"]["data"]
    assert (error["code"], "there is no secret TOKEN" in error["message"]) == ("secret_missing", True)
    assert (tool.begun, payloads["command.completed"]["data"]) == (["hunter22"], "used ***")


async def test_an_attempt_that_is_handed_out_again_reads_the_rotated_file(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "TOKEN").write_text("first value")
    first, second, secrets = Blocked(), Blocked(), Secrets(tmp_path)
    second.may_end.set()
    async with serving(database_url) as client:
        execution_id = await _start(client)
        async with _working(client, first, secrets, grace=0.2):
            await eventually(lambda: _some(first.begun))
        (tmp_path / "TOKEN").write_text("second value")
        async with _working(client, second, secrets):
            await eventually(lambda: _ended(client, execution_id))
        types = await client.engine.types(execution_id)
    assert (first.begun, second.begun) == (["first value"], ["second value"])
    assert types.count("command.issued") == 1


async def test_the_guide_does_what_it_says(database_url: str, tmp_path: Path) -> None:
    guide = (ROOT / "docs/howto/secrets.md").read_text()
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", guide, re.DOTALL))
    *lines, last = blocks["sh"].strip().splitlines()
    subprocess.run(["/bin/sh", "-euc", "\n".join(lines)], cwd=tmp_path, check=True)  # noqa: ASYNC221
    told = re.fullmatch(r"PLAYLOG_SECRETS_DIR=\$PWD/(\w+) playlog dev", last)
    assert told is not None
    pool = Pool(worker_id="w1", name="default", slots=2, prefetch=0)
    secrets, tools = Secrets(tmp_path / told[1]), {"shell": shell_tool()}
    async with serving(database_url) as client:
        await client.engine.register(blocks["yaml"])
        execution_id = await client.start("howto/secrets")
        async with workers.working(client.url, TOKEN, tools, pool=pool, secrets=secrets):
            await eventually(lambda: _ended(client, execution_id))
        last_event = (await client.engine.log(execution_id))[-1]
    assert last_event.payload == {"output": json.loads(blocks["json"])}


@pytest.mark.parametrize("failure", [None, "denied"])
async def test_a_late_result_is_masked_too(database_url: str, tmp_path: Path, failure: str | None) -> None:
    (tmp_path / "TOKEN").write_text("hunter22")
    tool = Blocked(failure)
    async with serving(database_url) as client, _working(client, tool, Secrets(tmp_path)):
        execution_id = await _start(client)
        await eventually(lambda: _some(tool.begun))
        await cancel(client.api.desk.appender, execution_id)
        tool.may_end.set()
        await eventually(lambda: _has(client, execution_id, "command.late"))
        await eventually(lambda: _has_line(client, "begun ***"))
        log = await client.engine.log(execution_id)
    found = str(log[-1].payload)
    assert ("used ***" if failure is None else "'sent': ['***']") in found
    assert "hunter22" not in found


async def _has(client: Client, execution_id: int, kind: str) -> None:
    assert kind in await client.engine.types(execution_id)


async def _has_line(client: Client, line: str) -> None:
    assert await client.engine.value("select line from playlog.step_log") == line
