"""Streams read while projector, API and NATS are killed in turn: each event exactly once and in order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import defaultdict

from bench.installation import Installation, installed
from playlog.client import Client
from playlog.event_streams import Sent
from tests.support.eventually import eventually
from tests.support.faults import all_ended, database, kill, one_story
from tests.support.load import Load, more_is_acknowledged

EXECUTIONS = 1_000 if os.environ.get("CHAOS") == "long" else 200
SECONDS = 240.0


class Readers:
    """One reader of all events, and one of each execution as soon as it has been started."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.told: dict[int, list[int]] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.all: defaultdict[int, set[int]] = defaultdict(set)
        self.resets = 0

    async def read_all(self, client: Client) -> None:
        async for sent in client.stream_all(after="0-0"):
            self.note(sent)

    def note(self, sent: Sent) -> None:
        if sent.event == "reset":
            self.resets += 1
        elif isinstance(sent.data, dict):
            self.all[int(str(sent.data["execution_id"]))].add(int(str(sent.data["version"])))

    async def read_each(self, client: Client, load: Load) -> None:
        """Follow executions as they are acknowledged."""
        while len(self.tasks) < EXECUTIONS:
            for execution_id in set(load.acknowledged.values()) - self.tasks.keys():
                self.tasks[execution_id] = asyncio.create_task(self.read(client, execution_id))
            await asyncio.sleep(0.05)
        await asyncio.gather(*self.tasks.values())

    async def read(self, client: Client, execution_id: int) -> None:
        told = self.told.setdefault(execution_id, [])
        async for event in client.stream(str(execution_id)):
            told.append(event["version"])


async def test_streams_tell_each_event_once_and_in_order_through_every_fault() -> None:
    async with installed() as installation, Client(installation.client.url, "") as client:
        load, readers = Load(installation.client), Readers(installation)
        starting = asyncio.create_task(load.start(range(EXECUTIONS)))
        await more_is_acknowledged(load, EXECUTIONS)
        reading_all = asyncio.create_task(readers.read_all(client))
        reading = asyncio.create_task(readers.read_each(client, load))
        try:
            await faults(installation, load)
            await starting
            await all_ended(installation, load, SECONDS)
            async with asyncio.timeout(SECONDS):
                await reading
            heads = await versions(installation)
            assert readers.told == {each: list(range(1, last + 1)) for each, last in heads.items()}

            def all_told() -> None:
                assert readers.all == {each: set(range(1, last + 1)) for each, last in heads.items()}

            await eventually(all_told, timeout=60)
            await one_story(installation, load)
        finally:
            for task in (starting, reading, reading_all, *readers.tasks.values()):
                task.cancel()
            await asyncio.gather(starting, reading, reading_all, return_exceptions=True)


async def faults(installation: Installation, load: Load) -> None:
    for role in ("projector", "public-api", "publisher", "public-api"):
        await more_is_acknowledged(load, EXECUTIONS)
        await kill(installation, role)
    await more_is_acknowledged(load, EXECUTIONS)
    assert installation.engine.servers.nats is not None
    os.kill(installation.engine.servers.nats.process.pid, signal.SIGKILL)


async def versions(installation: Installation) -> dict[int, int]:
    async with database(installation) as connection:
        rows = await connection.fetch("select execution_id, version from playlog.execution")
    return {row[0]: row[1] for row in rows}
