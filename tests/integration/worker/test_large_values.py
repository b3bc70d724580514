"""Large values through a worker: stored before they are settled, fetched before a tool runs."""

from __future__ import annotations

import textwrap
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson
import pytest

from engine.domain.handles import MOST_BYTES
from engine.read.projection import advance
from tests.support import workers
from tests.support.eventually import eventually
from tests.support.internal_api import TOKEN, Client, serving
from tests.support.internal_api_stub import Fault, InternalApiStub
from tests.support.public_api import running_public_api
from worker.commands import INLINE_BYTES
from worker.pool_loop import Pool
from worker.tools.python import PythonPool
from worker.tools.shell import shell_tool

if TYPE_CHECKING:
    from pathlib import Path

    from worker.tools.contract import ToolContext

PLAYBOOK = """
playbook: t/large
inputs: {size: {type: integer}}
steps:
  - {name: make, tool: python, with: {call: "large:make", args: {size: "${ inputs.size }"}}}
  - {name: count, tool: python,
     with: {call: "large:count", args: {text: "${ steps.make.output }", twice: ["${ steps.make.output }"]}}}
  - {name: pipe, tool: shell, with: {command: "wc -c", stdin: "${ steps.make.output }"}}
output: "${ {'text': steps.make.output, 'count': steps.count.output, 'piped': steps.pipe.output.stdout} }"
"""
TASKS = """
def make(size):
    return "x" * size

def count(text, twice):
    return [len(text), len(twice[0])]
"""
LARGEST = """
select max(octet_length(payload::text)) from playlog.event
union all select max(octet_length(input::text)) from playlog.command
union all select max(octet_length(payload)) from playlog.outbox
"""


async def echo(value: object, _context: ToolContext) -> object:
    return value


def text(size: int) -> str:
    """A text whose JSON has so many bytes."""
    return "x" * (size - 2)


@pytest.mark.parametrize("size", [300 * 1024, 5 * 2**20])
async def test_the_next_step_receives_what_a_step_puts_out_and_readers_find_it(
    database_url: str, tmp_path: Path, size: int
) -> None:
    (tmp_path / "large.py").write_text(textwrap.dedent(TASKS))
    python = PythonPool([tmp_path])
    async with serving(database_url) as client, running_public_api(database_url) as public:
        await client.engine.register(PLAYBOOK)
        execution_id = await client.start("t/large", inputs={"size": size})
        tools = {"python": python.run, "shell": shell_tool()}
        pool = Pool(worker_id="w1", name="default", slots=2, prefetch=0)
        try:
            async with workers.working(client.url, TOKEN, tools, pool=pool):
                await eventually(lambda: ended(client, execution_id), timeout=30)
        finally:
            await python.close()
        await advance(client.engine.connection, [execution_id])
        output = (await public.get(f"/executions/{execution_id}")).json["output"]
        assert (output["count"], int(output["piped"])) == ([size, size], size)
        reference, name = output["text"]["reference"], sha256(b'"' + b"x" * size + b'"').hexdigest()
        assert reference == {"kind": "ref", "uri": f"payload:{execution_id}/{name}", "bytes": size + 2}
        route = f"/executions/{execution_id}/payloads/{name}"
        found = await public.get(route)
        assert (found.status, found.json) == (200, "x" * size)
        assert found.headers["ETag"] == f'"{name}"'
        assert (await public.get(route, headers={"If-None-Match": found.headers["ETag"]})).status == 304
        assert await client.engine.value("select count(*) from playlog.payload") == 1
        assert all(row["max"] < 4_000 for row in await client.engine.connection.fetch(LARGEST))


async def ended(client: Client, execution_id: int) -> None:
    types = await client.engine.types(execution_id)
    assert types[-1] in {"execution.completed", "execution.failed"}


async def test_an_output_goes_along_up_to_64_kib_and_apart_above(stub: InternalApiStub) -> None:
    inline = stub.add("echo", text(INLINE_BYTES))
    apart = stub.add("echo", text(INLINE_BYTES + 1))
    async with workers.running(stub, {"echo": echo}):
        await eventually(lambda: (stub.result(inline), stub.result(apart)))
    assert "result_kind" not in stub.result(inline)
    (body,) = stub.payloads.values()
    assert len(body) == INLINE_BYTES + 1
    uri = f"payload:77/{sha256(body).hexdigest()}"
    assert (stub.result(apart)["result_kind"], stub.result(apart)["result_uri"]) == ("ref", uri)
    assert "output" not in stub.result(apart)


@pytest.mark.parametrize(("size", "refusals"), [(MOST_BYTES + 1, 0), (INLINE_BYTES + 1, 1)])
async def test_more_than_the_limit_fails_as_output_too_large(
    stub: InternalApiStub, size: int, refusals: int
) -> None:
    async def make(_value: object, _context: ToolContext) -> object:
        return text(size)

    for _ in range(refusals):
        stub.fail_next("/payloads", Fault(status=413))
    number = stub.add("make")
    async with workers.running(stub, {"make": make}):
        await eventually(lambda: stub.result(number))
    assert stub.result(number)["error"]["code"] == "output_too_large"
    assert refusals or f"{MOST_BYTES + 1} bytes" in stub.result(number)["error"]["message"]
    assert stub.payloads == {}


async def test_storing_and_fetching_are_repeated_while_the_api_is_away(stub: InternalApiStub) -> None:
    value = [1] * 40_000
    body = orjson.dumps(value)
    name = sha256(body).hexdigest()
    stub.payloads["77", name] = body
    for _ in range(2):
        stub.fail_next("/payloads", Fault(status=503))
    reference = {"kind": "ref", "uri": f"payload:77/{name}", "bytes": len(body)}
    asked = {"a": [{"reference": reference}], "b": {"reference": reference}}
    number = stub.add("echo", asked, handles=[["a", 0]])
    async with workers.running(stub, {"echo": echo}):
        await eventually(lambda: stub.result(number))
    stored = stub.payloads["77", stub.result(number)["result_uri"].rpartition("/")[2]]
    assert orjson.loads(stored) == {"a": [value], "b": {"reference": reference}}


@pytest.mark.parametrize(
    ("named", "body", "code"),
    [
        (b"[1]", None, "unknown_payload"),
        (b"[1]", b"[2]", "bad_payload"),
        (b"no json", b"no json", "validation"),
    ],
)
async def test_an_input_that_cannot_be_fetched_fails_the_attempt(
    stub: InternalApiStub, named: bytes, body: bytes | None, code: str
) -> None:
    name = sha256(named).hexdigest()
    if body is not None:
        stub.payloads["77", name] = body
    reference = {"kind": "ref", "uri": f"payload:77/{name}", "bytes": 7}
    number = stub.add("echo", {"a": {"reference": reference}}, handles=[["a"]])
    async with workers.running(stub, {"echo": echo}):
        await eventually(lambda: stub.result(number))
    assert stub.result(number)["error"]["code"] == code
