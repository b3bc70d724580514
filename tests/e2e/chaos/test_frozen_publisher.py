"""A publisher frozen in a pass, beyond all its time-outs, beside another and an HTTP claimer."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import nats
import orjson
import structlog

from tests.support import outbox
from tests.support.checker import check_log
from tests.support.eventually import eventually
from tests.support.internal_api import Client, serving
from tests.support.outbox import HEADS
from tests.support.servers import Connection
from tests.support.tree import ROOT

LONG = os.environ.get("CHAOS") == "long"
FREEZE_AFTER_SECONDS = 10.0 if LONG else 3.0
FEED_AFTERWARDS_SECONDS = 25.0 if LONG else 4.0
TERMINATED_SECONDS = 30.0
DRAIN_SECONDS = 90.0
EXECUTIONS = range(600_000, 600_200)
TOGETHER = 10
PAUSE_SECONDS = 0.01
ENOUGH = 1_000
STUCK = """
select pid from pg_stat_activity
where application_name = 'playlog-publisher' and datname = current_database()
    and state = 'idle in transaction' and state_change < clock_timestamp() - interval '1 second'
"""
ALIVE = "select exists (select from pg_stat_activity where pid = $1)"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Work:
    """What the feeder and the claimer have done; both go on until `stop` is set."""

    client: Client
    nats_url: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    fed: int = 0
    claimed: int = 0

    async def feed(self) -> None:
        """Append through the internal API, one event for some executions at a time, again and again."""
        for number in itertools.count(1):
            for first in range(0, len(EXECUTIONS), TOGETHER):
                if self.stop.is_set():
                    return
                batch = [event(each, number) for each in EXECUTIONS[first : first + TOGETHER]]
                answer = await self.client.post("/events/materialize", batch)
                assert (answer.status, answer.body["materialized"]) == (200, TOGETHER), answer.body
                self.fed += TOGETHER
                await asyncio.sleep(PAUSE_SECONDS)  # the pace of the load, not a wait for anything

    async def claim(self) -> None:
        """Take messages over HTTP and publish them with their own subject, headers and id."""
        broker = await nats.connect(self.nats_url)
        try:
            while not self.stop.is_set():
                rows = (await self.client.post("/outbox/claim", {"limit": 20})).body["rows"]
                for row in rows:
                    await broker.jetstream().publish(
                        row["subject"], orjson.dumps(row["payload"]), headers=row["headers"]
                    )
                if rows:
                    await self._mark(rows)
                await asyncio.sleep(PAUSE_SECONDS)  # leaves the publishers something to do
        finally:
            await broker.close()

    async def _mark(self, rows: list[dict[str, int]]) -> None:
        done = {
            "outbox_ids": [row["outbox_id"] for row in rows],
            "lease_tokens": [row["lease_token"] for row in rows],
        }
        marked = await self.client.post("/outbox/mark-published", done)
        assert marked.status == 200, marked.body
        self.claimed += marked.body["marked"]


async def test_it_wakes_up_and_nothing_is_missing_or_out_of_order(
    connection: Connection, database_url: str, nats_url: str
) -> None:
    await connection.execute(HEADS, list(EXECUTIONS))
    async with (
        publishing(database_url, nats_url) as frozen,
        publishing(database_url, nats_url),
        serving(database_url, nats_url=nats_url) as client,
    ):
        await eventually(lambda: adopted(connection), timeout=DRAIN_SECONDS)
        work = Work(client, nats_url)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work.feed())
            tasks.create_task(work.claim())
            await asyncio.sleep(FREEZE_AFTER_SECONDS)
            backend = await freeze_in_a_pass(frozen, connection)
            before = work.fed
            await eventually(lambda: terminated(connection, backend), timeout=TERMINATED_SECONDS)
            fed_meanwhile = work.fed - before
            frozen.send_signal(signal.SIGCONT)
            await asyncio.sleep(FEED_AFTERWARDS_SECONDS)
            work.stop.set()
        await eventually(lambda: drained(connection), timeout=DRAIN_SECONDS)
        assert frozen.returncode is None
    log.warning("frozen.done", fed=work.fed, claimed=work.claimed, fed_meanwhile=fed_meanwhile)
    story = await check_log(connection)
    assert story.size == work.fed > ENOUGH
    assert await connection.fetchval("select max(generation) from playlog.shard") == 1
    assert work.claimed > 0
    assert fed_meanwhile > 0
    stored = await outbox.stream_content(nats_url)
    assert outbox.gaps(stored, {each: head.version for each, head in story.heads.items()}) == []


async def freeze_in_a_pass(process: asyncio.subprocess.Process, connection: Connection) -> int:
    """SIGSTOP while it holds shards; returns the backend whose transaction stands still."""

    async def stuck() -> int:
        process.send_signal(signal.SIGSTOP)
        for _ in range(30):
            backend = await connection.fetchval(STUCK)
            if backend is not None:
                return int(backend)
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGCONT)
        raise AssertionError("it was between two passes")

    return await eventually(stuck, timeout=120)


async def adopted(connection: Connection) -> None:
    assert await connection.fetchval("select count(stream_created) from playlog.shard"), "there is no stream"


async def terminated(connection: Connection, backend: int) -> None:
    assert not await connection.fetchval(ALIVE, backend), "its transaction still holds the shards"


async def drained(connection: Connection) -> None:
    assert await outbox.waiting(connection) == 0


def event(execution_id: int, number: int) -> dict[str, object]:
    return {
        "execution_id": execution_id,
        "event_id": number,
        "event_type": "order.noted",
        "step": "note",
        "payload": {"n": number},
    }


@asynccontextmanager
async def publishing(database_url: str, nats_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A publisher process of its own, killed afterwards, awake or not."""
    environment = os.environ | {
        "PLAYLOG_DATABASE_URL": database_url,
        "PLAYLOG_NATS_URL": nats_url,
        "PLAYLOG_HEALTH_PORT": "0",
        "PLAYLOG_PUBLISHER_SHARDS": "8",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "publisher", cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()
