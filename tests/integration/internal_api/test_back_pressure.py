"""A full queue refuses and says when to come back; what it has accepted lands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from engine.runtime.database import checkout
from engine.write import writer
from tests.support.eventually import eventually
from tests.support.internal_api import Answer, Client, result

if TYPE_CHECKING:
    import asyncpg

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)
SENT = 8


def note(execution_id: int, number: int) -> dict[str, object]:
    return {"execution_id": execution_id, "event_id": number, "event_type": "order.noted", "step": "a"}


@pytest.mark.parametrize(
    ("limit", "most", "accepted"),
    [("QUEUE_REQUESTS", 3, 3), ("QUEUE_BYTES", 1, 1)],
    ids=["requests", "bytes"],
)
async def test_a_full_queue_answers_429_and_what_it_accepted_lands(
    client: Client, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, accepted: int
) -> None:
    await client.engine.register(ONE)
    execution_id = await client.start("t/one")
    (command,) = await client.claim()
    monkeypatch.setattr(writer, limit, most)

    async def send(number: int) -> Answer:
        return await client.post("/events/materialize", [note(execution_id, number)])

    async def the_writer_waits() -> None:
        assert await client.engine.value(WAITING) == 1

    async def the_rest_is_refused() -> None:
        assert sum(task.done() for task in sending) == SENT - accepted

    async with checkout(pool) as other, other.transaction():
        await other.execute("select from playlog.execution for update")
        first = asyncio.create_task(send(1))
        await eventually(the_writer_waits)
        sending = [asyncio.create_task(send(number)) for number in range(2, SENT + 2)]
        await eventually(the_rest_is_refused)
        settling = await client.settle(result(command))
    answers = [await task for task in sending]
    refused = [answer for answer in [*answers, settling] if answer.status != 200]
    assert [(answer.status, answer.code) for answer in refused] == [(429, "busy")] * (SENT - accepted + 1)
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
    landed = [answer.body["materialized"] for answer in [await first, *answers] if answer.status == 200]
    assert landed == [1] * (accepted + 1)
    assert (await client.engine.types(execution_id)).count("order.noted") == accepted + 1
    batch = await client.post("/events/materialize", [note(execution_id, n) for n in range(1, SENT + 2)])
    assert batch.status == 200
    assert (await client.engine.types(execution_id)).count("order.noted") == SENT + 1
    assert (await client.settle(result(command))).body["settled"] == 1
