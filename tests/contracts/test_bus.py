"""What connects the processes, over NATS and in memory: one contract for both."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from engine.runtime.announcer import EVERYONE
from engine.runtime.atomic_batch import OutgoingMessage
from engine.runtime.broker import Broker
from engine.runtime.consumer import PullConsumer
from engine.runtime.memory import MemoryBus, MemoryStream
from engine.runtime.settings import BrokerSettings
from engine.runtime.stream import EventStream
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from engine.runtime.bus import Bus, Consumer, Delivered, Stream


@dataclass
class Link:
    bus: Bus
    stream: Stream
    consumer: Consumer

    async def publish(self, *numbers: int) -> int:
        """Publish while the consumer reads, as both do in an engine."""
        return await self.stream.publish_atomic([message(number) for number in numbers])

    async def read(self, count: int) -> list[Delivered]:
        """Fetch and acknowledge so many messages."""
        seen: list[Delivered] = []
        async with asyncio.timeout(10):
            while len(seen) < count:
                batch = await self.consumer.fetch(count, 1.0)
                self.consumer.acknowledge(batch)
                seen += batch
        return seen


@pytest.fixture
async def nats(nats_url: str) -> AsyncIterator[Link]:
    settings = BrokerSettings(nats_url=nats_url, stream_max_bytes=2**26)
    broker = Broker(settings)
    await broker.connect(wait_seconds=10)
    stream = EventStream(broker, settings)
    await stream.ensure()
    consumer = PullConsumer(broker, stream, "contract")
    yield Link(broker, stream, consumer)
    await consumer.close()
    await broker.close()


@pytest.fixture
def memory() -> Link:
    stream = MemoryStream()
    return Link(MemoryBus(), stream, stream)


@pytest.fixture(params=["nats", "memory"])
def link(request: pytest.FixtureRequest) -> Link:
    link: Link = request.getfixturevalue(request.param)
    return link


def message(number: int) -> OutgoingMessage:
    return OutgoingMessage(
        subject=f"playlog.events.1.{number}",
        payload=b"%d" % number,
        header_lines=b"Nats-Msg-Id: %d:1-1:0\r\n" % number,
    )


def numbers(delivered: Sequence[Delivered]) -> list[tuple[str, bytes]]:
    return [(each.subject, each.data) for each in delivered]


async def test_a_wake_reaches_who_listens_to_its_topic_after_one_for_everyone(link: Link) -> None:
    heard: list[bytes] = []
    others: list[bytes] = []
    await link.bus.listen("outbox", others.append)
    await link.bus.listen("snapshots", heard.append)

    def arrived() -> None:
        link.bus.announce("snapshots", b"[[1, 2]]")
        assert heard[:2] == [EVERYONE, b"[[1, 2]]"]

    await eventually(arrived)
    assert others == [EVERYONE]
    assert link.bus.is_connected
    assert link.bus.epoch == 1


async def test_messages_come_once_in_their_order_and_sequences_grow(link: Link) -> None:
    before = await link.stream.state()
    assert before.allow_atomic
    reading = asyncio.create_task(link.read(26))
    lasts = [await link.publish(*range(25)), (await link.stream.publish_one(message(25))).seq]
    assert numbers(await reading) == [(f"playlog.events.1.{n}", b"%d" % n) for n in range(26)]
    assert lasts == [before.last_seq + 25, before.last_seq + 26]
    after = await link.stream.state()
    assert (after.created, after.last_seq) == (before.created, lasts[-1])
    assert await link.consumer.fetch(10, 0.1) == []


async def test_what_is_handed_back_comes_again_and_nothing_is_lost(link: Link) -> None:
    await link.stream.state()
    publishing = asyncio.create_task(link.publish(1, 2, 3))
    first = await link.consumer.fetch(2, 5.0)
    assert first
    link.consumer.hand_back(first)
    assert sorted(each.data for each in await link.read(3)) == [b"1", b"2", b"3"]
    await publishing


async def test_a_message_that_comes_while_waiting_is_given_at_once_and_else_the_wait_ends(link: Link) -> None:
    await link.stream.state()
    started = time.monotonic()
    assert await link.consumer.fetch(10, 0.2) == []
    assert 0.2 <= time.monotonic() - started < 2
    waiting = asyncio.create_task(link.consumer.fetch(10, 30.0))
    publishing = asyncio.create_task(link.publish(7))
    async with asyncio.timeout(5):
        fetched = await waiting
    assert [each.data for each in fetched] == [b"7"]
    link.consumer.acknowledge(fetched)
    await publishing
