"""Two processes append overlapping batches to the same executions: log and stream hold each event once."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from tests.support.checker import check_log, check_outbox_is_empty, check_stream
from tests.support.engine import Engine, running_engine
from tests.support.eventually import eventually
from tests.support.roles import TOKEN, free_port, process, until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import asyncpg

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
EXECUTIONS = 50
EVENTS = 100_000 if os.environ.get("CHAOS") == "long" else 20_000
BATCH = (100, 700)
CALLERS = 3
AGAIN = 0.1
"""The share of its batches that a caller sends twice, as one that has lost the answer does."""
BEGUN = 2
"""Each execution opens with its start and its first command."""


@dataclass
class Tally:
    """What the answers of all processes say."""

    sent: int = 0
    materialized: int = 0
    duplicates: int = 0

    def note(self, batch: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        assert answer["rejected"] == []
        self.sent += len(batch)
        self.materialized += answer["materialized"]
        self.duplicates += answer["duplicates"]


def batches(execution_ids: list[int], seed: int) -> Iterator[list[dict[str, Any]]]:
    """Every event of every execution in an order of its own, in batches of many sizes, some of them twice."""
    chance = random.Random(seed)
    work = [(each, number) for each in execution_ids for number in range(1, EVENTS // EXECUTIONS + 1)]
    chance.shuffle(work)
    while work:
        size = chance.randint(*BATCH)
        batch, work = work[:size], work[size:]
        yield from [[event(*place) for place in batch]] * (2 if chance.random() < AGAIN else 1)


def event(execution_id: int, number: int) -> dict[str, Any]:
    return {
        "execution_id": execution_id,
        "event_id": number,
        "event_type": "order.noted",
        "step": "a",
        "payload": {"n": number},
    }


async def hammer(
    session: aiohttp.ClientSession, url: str, mine: Iterator[list[dict[str, Any]]], tally: Tally
) -> None:
    """Several callers of one process share its batches."""

    async def caller() -> None:
        for batch in mine:
            async with session.post(
                f"{url}/api/internal/events/materialize", data=orjson.dumps(batch)
            ) as response:
                assert response.status == 200, await response.text()
                tally.note(batch, orjson.loads(await response.read()))

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def test_two_processes_with_overlapping_batches_store_and_publish_the_distinct_set_in_order(
    database_url: str, nats_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    settings = {
        "database_url": database_url,
        "nats_url": nats_url,
        "health_port": 0,
        "allow_unsafe_durability": 1,
    }
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(running_engine(database_url))
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        urls = []
        for port in (free_port(), free_port()):
            api = process(tmp_path, "internal_api", DEVNULL, internal_api_port=port, **settings)
            await stack.enter_async_context(api)
            urls.append(f"http://127.0.0.1:{port}")
        await stack.enter_async_context(process(tmp_path, "publisher", DEVNULL, **settings))
        for url in urls:
            await until_ready(session, url)
        execution_ids = await started(engine)
        tally, began = Tally(), time.perf_counter()
        await asyncio.gather(
            *(hammer(session, url, batches(execution_ids, seed), tally) for seed, url in enumerate(urls))
        )
        seconds = time.perf_counter() - began
        await eventually(lambda: check_outbox_is_empty(connection), timeout=120)
    print(f"{tally} in {seconds:.1f} s: {tally.sent / seconds:.0f} events/s sent")  # noqa: T201 - a figure
    assert (tally.materialized, tally.duplicates) == (EVENTS, tally.sent - EVENTS)
    assert tally.sent > 2 * EVENTS
    await check_distinct_set(connection, execution_ids)
    story = await check_log(connection)
    assert story.size == EVENTS + BEGUN * EXECUTIONS
    await check_stream(nats_url, story)


async def started(engine: Engine) -> list[int]:
    await engine.register(ONE)
    return [await engine.start("t/one") for _ in range(EXECUTIONS)]


async def check_distinct_set(connection: asyncpg.Connection, execution_ids: list[int]) -> None:
    rows = await connection.fetch(
        "select execution_id, array_agg(event_id order by event_id) as event_ids,"
        " bool_and((payload -> 'data' ->> 'n')::bigint = event_id) as is_whole"
        " from playlog.event where event_type = 'order.noted' group by execution_id"
    )
    assert {row["execution_id"] for row in rows} == set(execution_ids)
    for row in rows:
        assert row["event_ids"] == list(range(1, EVENTS // EXECUTIONS + 1))
        assert row["is_whole"]
