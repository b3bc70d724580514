"""The stream of all events, over NATS and in memory: each at least once, and a word where it breaks off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest

from engine.runtime.broker import Broker
from engine.runtime.database import reconnector
from engine.runtime.loop import run_role
from engine.runtime.memory import MemoryBus, MemoryStream
from engine.runtime.settings import BrokerSettings
from engine.runtime.stream import EventStream
from engine.runtime.tail import StreamTail
from projector.role import Projector
from public_api import event_source
from publisher.role import Publisher
from tests.support import outbox, servers
from tests.support.event_source import Sent, Source, listening
from tests.support.eventually import eventually
from tests.support.public_api import ONE_STEP, WAITING, PublicApi, running_public_api

PATH = "/events/stream"


class Installation:
    """A public API and a publisher that works when told to."""

    def __init__(self, api: PublicApi, publisher: Any, connection: Any) -> None:
        self.api = api
        self.publisher = publisher
        self.connection = connection

    async def run(self, count: int = 1, playbook: str = "tests/one") -> list[tuple[str, int]]:
        """Start executions and publish what was recorded; which events that is."""
        started = [await self.api.start(playbook) for _ in range(count)]
        await outbox.drain(self.publisher)
        rows = await self.connection.fetch(
            "select execution_id, version from playlog.event where execution_id = any($1)", started
        )
        return sorted((str(row[0]), row[1]) for row in rows)

    def listening(self, query: str = "", **more: Any) -> contextlib.AbstractAsyncContextManager[Source]:
        return listening(self.api.session, PATH + query, **more)


@pytest.fixture
async def here(database_url: str, nats_url: str, connection: Any) -> AsyncIterator[Installation]:
    settings = outbox.publisher_settings(database_url, nats_url)
    async with contextlib.AsyncExitStack() as stack:
        publisher = await stack.enter_async_context(outbox.a_publisher(settings))
        await outbox.drain(publisher)
        broker = Broker(BrokerSettings(nats_url=nats_url))
        await broker.connect(wait_seconds=10)
        stack.push_async_callback(broker.close)
        stream = EventStream(broker, BrokerSettings(nats_url=nats_url))

        def open_tail(*args: Any, **more: Any) -> StreamTail:
            return StreamTail(broker, stream, *args, **more)

        api = await stack.enter_async_context(running_public_api(database_url, open_tail))
        for source in (ONE_STEP, WAITING):
            await api.register(source)
        yield Installation(api, publisher, connection)


def told(sent: list[Sent]) -> list[tuple[str, int]]:
    return sorted((each.data["execution_id"], each.data["version"]) for each in sent)


async def test_whoever_listens_is_told_what_happens_from_then_on(here: Installation) -> None:
    await here.run()
    async with here.listening() as one, here.listening() as other:
        await begun(one, other)
        events = await here.run(3)
        sent = await one.take(len(events))
        assert told(sent) == events
        assert await other.take(len(events)) == sent
    assert {each.data["playbook"] for each in sent} == {"tests/one"}
    assert [each.id for each in sent] == sorted({str(each.id) for each in sent}, key=place_of)


async def begun(*sources: Source) -> None:
    """Wait until the streams say where they begin."""
    for source in sources:
        while (await source.response.content.readline()).partition(b":")[0] != b"id":
            pass


def place_of(text: str) -> list[int]:
    return [int(part) for part in text.split("-")]


async def test_from_every_position_nothing_is_missing(here: Installation) -> None:
    async with here.listening() as source:
        await begun(source)
        sent = await source.take(len(await here.run(4)))
    for position in range(len(sent)):
        async with here.listening(last_event_id=sent[position].id) as source:
            await eventually(lambda: joined(here))
            more = await here.run()
            again = await source.take(len(sent) - position - 1 + len(more))
        later = len(sent) - position - 1
        assert again[:later] == sent[position + 1 :]
        assert told(again[later:]) == more
        sent += again[later:]


def joined(here: Installation) -> None:
    assert len(here.api.live.feed._clients) == 1


@pytest.mark.parametrize("place", ["0-0", "0-0-0"])
async def test_zero_is_the_beginning_of_what_the_stream_keeps(here: Installation, place: str) -> None:
    events = await here.run(5)
    async with here.listening(last_event_id=place) as source:
        assert told(await source.take(len(events))) == events


async def test_only_what_is_asked_for_is_told_and_pings_say_where_one_is(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_source, "PING_SECONDS", 0.05)
    queries = ["?playbook=tests/deep/waiting", "?types=wait.opened", "?status=RUNNING"]
    async with contextlib.AsyncExitStack() as stack:
        sources = [await stack.enter_async_context(here.listening(query)) for query in queries]
        await begun(*sources)
        await here.run(2)
        events = await here.run(2, "tests/deep/waiting")
        wanted = [
            await source.take(count) for source, count in zip(sources, (len(events), 2, 4), strict=True)
        ]
        last = here.api.live.feed.place
        await begun(sources[2])
        place = (await sources[1].response.content.readuntil(b"\n\n")).decode()
    assert told(wanted[0]) == events
    assert {each.data["event_type"] for each in wanted[1]} == {"wait.opened"}
    assert {each.data["status"] for each in wanted[2]} == {"RUNNING"}
    assert place == f"id: {last.generation}-{last.seq}\n\n"


async def test_a_new_generation_is_a_reset_for_who_listens_and_for_who_comes_back(
    here: Installation, nats_url: str
) -> None:
    async with here.listening() as source:
        await begun(source)
        before = await source.take(len(await here.run(2)))
        await servers.delete_streams(nats_url)
        await here.run(0)
        started = await here.api.start()
        await eventually(lambda: refilled(here))
        reset, *after = await source.take(1 + len(before) + 2)
    assert (reset.event, reset.data) == ("reset", {"generation": 2})
    assert {*told(before), (str(started), 1)} <= set(told(after))
    async with here.listening(last_event_id=before[-1].id) as source:
        reset, *after = await source.take(1 + len(before) + 2)
    assert (reset.event, reset.data) == ("reset", {"generation": 2})
    assert {*told(before), (str(started), 1)} <= set(told(after))


async def refilled(here: Installation) -> None:
    with contextlib.suppress(Exception):
        await here.publisher.step()
    assert await here.connection.fetchval("select count(*) from playlog.outbox") == 0
    assert await here.connection.fetchval("select max(generation) from playlog.shard") == 2
    assert await here.connection.fetchval("select count(refill_after) from playlog.shard") == 0


async def test_who_comes_back_after_the_stream_forgot_is_told_so(here: Installation, nats_url: str) -> None:
    await here.run(3)
    async with here.listening() as source:
        await begun(source)
        first = await source.take(len(await here.run(1)))
    client = await nats.connect(nats_url)
    await client.jetstream().purge_stream("PLAYLOG_EVENTS")
    await client.close()
    async with here.listening(last_event_id=first[-1].id) as source:
        assert (await source.take(1))[0].event == "reset"


@pytest.mark.parametrize("given", ["", "7", "a-b-c", "1-2-3-4", "-1-2-3"])
async def test_what_is_no_place_is_a_400(here: Installation, given: str) -> None:
    answer = await here.api.get(PATH, headers={"Last-Event-ID": given})
    assert (answer.status, answer.json["code"]) == (400, "bad_last_event_id")


async def test_without_a_stream_nobody_is_kept_waiting(here: Installation, nats_url: str) -> None:
    await servers.delete_streams(nats_url)
    answer = await here.api.get(PATH)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_in_memory_the_last_messages_are_the_history(database_url: str, connection: Any) -> None:
    stream = MemoryStream()
    settings = outbox.publisher_settings(database_url, "nats://127.0.0.1:1")
    publisher = Publisher(settings, MemoryBus(), stream)
    projector = Projector(stream, reconnector(settings, name="test", seconds=5.0), lambda *_: None)
    async with running_public_api(database_url, stream.tail) as api, contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(publisher.close)
        stack.push_async_callback(projector.close)
        await api.register(ONE_STEP)
        here = Installation(api, publisher, connection)
        async with projecting(projector), here.listening() as source:
            await begun(source)
            events = await here.run(3)
            sent = await source.take(len(events))
            assert told(sent) == events
            for position, each in enumerate(sent):
                async with here.listening(last_event_id=each.id) as again:
                    assert await again.take(len(sent) - position - 1) == sent[position + 1 :]
            async with here.listening(last_event_id="1-77-0") as again:
                assert [each.event for each in await again.take(3)] == ["reset", "message", "message"]


@contextlib.asynccontextmanager
async def projecting(projector: Projector) -> AsyncIterator[None]:
    """Project for the block what is published."""
    stop = asyncio.Event()
    role = asyncio.create_task(run_role(projector, stop=stop))
    try:
        yield
    finally:
        stop.set()
        await role
