"""Maps through a worker: every item once, outputs in order, and the list where another step asks for it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from engine.read.projection import advance
from tests.support import workers
from tests.support.eventually import eventually
from tests.support.internal_api import TOKEN, Client, serving
from tests.support.public_api import running_public_api
from worker.pool_loop import Pool
from worker.tools.contract import ToolContext, ToolFailed

PLAYBOOK = """
playbook: t/rows
inputs: {count: {type: integer}}
steps:
  - {name: list, tool: python, with: {call: "t:list", args: {count: "${ inputs.count }"}}}
  - name: make
    tool: python
    map: {items: "${ steps.list.output }", on_item_error: continue}
    retry: {max_attempts: 2, delay: 1ms}
    with: {call: "t:make", args: {of: "${ item }"}}
  - name: use
    tool: python
    with: {call: "t:use", args: {rows: "${ steps.make.output }", errors: "${ steps.make.errors }"}}
output: "${ {'rows': steps.make.output, 'sum': steps.use.output} }"
"""
LARGE, BAD = 3, 7


def row_of(item: int) -> object:
    return {"of": item, "text": "x" * (100_000 if item == LARGE else 400)}


async def tool(value: Any, context: ToolContext) -> object:
    given = value["args"]
    if context.step == "list":
        return list(range(given["count"]))
    if context.step == "use":
        rows = [row for row in given["rows"] if row]
        assert all(row == row_of(row["of"]) for row in rows)
        return [len(given["rows"]), sum(row["of"] for row in rows), given["errors"]]
    if given["of"] == BAD:
        raise ToolFailed("bad", "no good")
    return row_of(given["of"])


async def test_a_worker_does_every_item_once_and_the_next_step_gets_the_whole_list(database_url: str) -> None:
    count = 300
    async with serving(database_url) as client, running_public_api(database_url) as public:
        await client.engine.register(PLAYBOOK)
        execution_id = await client.start("t/rows", inputs={"count": count})
        pool = Pool(worker_id="w1", name="default", slots=50, prefetch=50)
        async with workers.working(client.url, TOKEN, {"python": tool}, pool=pool):
            await eventually(lambda: ended(client, execution_id), timeout=30)
        await advance(client.engine.connection, [execution_id])
        log = await client.engine.log(execution_id)
        assert log[-1].event_type == "execution.completed", log[-1].payload
        done = [event.item for event in log if event.event_type == "command.completed"]
        assert Counter(done) == Counter([None, None, *(item for item in range(count) if item != BAD)])
        output = (await public.get(f"/executions/{execution_id}")).json["output"]
        late = {"item": BAD, "code": "bad", "message": "no good", "attempt": 2}
        assert output["sum"] == [count, sum(range(count)) - BAD, [late]]
        reference = output["rows"]["reference"]
        assert (reference["kind"], reference["count"]) == ("map", count)
        assert reference["apart"] == len(orjson.dumps(row_of(LARGE)))
        uri = reference["uri"]
        route = f"/executions/{uri.removeprefix('map:').replace('/', '/maps/', 1)}"
        found = await public.get(route)
        assert found.status == 200
        assert [row and row.get("of") for row in found.json] == [
            None if item in {LARGE, BAD} else item for item in range(count)
        ]
        assert found.json[LARGE]["reference"]["kind"] == "ref"
        assert (await public.get(route, headers={"If-None-Match": found.headers["ETag"]})).status == 304
        await check_refusals(client, execution_id, uri)


async def check_refusals(client: Client, execution_id: int, uri: str) -> None:
    """What names no map that was opened and closed is not found, and no reader may use the inner route."""
    other = uri.replace("/make/", "/list/").removeprefix("map:")
    answer = await client.get(f"/maps/{other}")
    assert (answer.status, answer.code) == (404, "unknown_payload")
    answer = await client.get(f"/maps/{uri.removeprefix('map:')}?after=x")
    assert (answer.status, answer.code) == (422, "invalid")
    answer = await client.get(f"/maps/{execution_id}/make/1-x/outputs")
    assert (answer.status, answer.code) == (404, "unknown_payload")
    async with client.session.get(f"/api/internal/maps/{uri.removeprefix('map:')}") as refused:
        assert refused.status == 403


async def ended(client: Client, execution_id: int) -> None:
    types = await client.engine.types(execution_id)
    assert types[-1] in {"execution.completed", "execution.failed"}
