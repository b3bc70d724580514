from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from engine.runtime.atomic_batch import OutgoingMessage
from engine.runtime.broker import Broker
from engine.runtime.consumer import PullConsumer
from engine.runtime.settings import BrokerSettings
from engine.runtime.stream import EventStream
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "PLAYLOG_EVENTS"
DURABLE = "projector"


@pytest.fixture
async def broker(nats_url: str) -> AsyncIterator[Broker]:
    broker = Broker(BrokerSettings(nats_url=nats_url))
    await broker.connect(wait_seconds=10)
    yield broker
    await broker.close()


@pytest.fixture
async def stream(broker: Broker, nats_url: str) -> EventStream:
    stream = EventStream(broker, BrokerSettings(nats_url=nats_url, stream_max_bytes=2**26))
    await stream.ensure()
    return stream


@pytest.fixture
async def consumer(broker: Broker, stream: EventStream) -> AsyncIterator[PullConsumer]:
    consumer = PullConsumer(broker, stream, DURABLE)
    yield consumer
    await consumer.close()


async def publish(stream: EventStream, *payloads: bytes) -> None:
    await stream.state()
    await stream.publish_atomic([OutgoingMessage(subject="playlog.events.1.1", payload=p) for p in payloads])


async def fetch_all(consumer: PullConsumer, count: int) -> list[bytes]:
    seen: list[bytes] = []

    async def complete() -> None:
        batch = await consumer.fetch(10, 0.5)
        consumer.acknowledge(batch)
        seen.extend(message.data for message in batch)
        assert len(seen) >= count

    await eventually(complete)
    return seen


async def test_messages_come_in_order_and_not_again_once_acknowledged(
    stream: EventStream, consumer: PullConsumer
) -> None:
    payloads = [str(number).encode() for number in range(25)]
    await publish(stream, *payloads)
    assert await fetch_all(consumer, 25) == payloads

    async def settled() -> None:
        info = await stream.api(f"CONSUMER.INFO.{NAME}.{DURABLE}")
        assert (info["num_ack_pending"], info["num_pending"]) == (0, 0)

    await eventually(settled)


async def test_nothing_to_fetch_is_an_empty_list_after_the_wait(consumer: PullConsumer) -> None:
    started = time.monotonic()
    assert await consumer.fetch(10, 0.2) == []
    assert 0.2 <= time.monotonic() - started < 2


async def test_a_message_that_comes_while_waiting_is_given_at_once(
    stream: EventStream, consumer: PullConsumer
) -> None:
    waiting = asyncio.create_task(consumer.fetch(10, 30))
    await asyncio.sleep(0)
    await publish(stream, b"late")
    async with asyncio.timeout(5):
        assert [message.data for message in await waiting] == [b"late"]


async def test_what_is_handed_back_comes_again_at_once(stream: EventStream, consumer: PullConsumer) -> None:
    await publish(stream, b"1")
    consumer.hand_back(await consumer.fetch(10, 5))
    assert await fetch_all(consumer, 1) == [b"1"]


async def test_closing_hands_over_to_another_reader_what_was_not_fetched(
    broker: Broker, stream: EventStream, consumer: PullConsumer
) -> None:
    await publish(stream, *[str(number).encode() for number in range(10)])
    other = PullConsumer(broker, stream, DURABLE)
    first = await other.fetch(10, 5)
    other.acknowledge(first[:1])
    other.hand_back(first[1:])
    await other.close()
    assert sorted(await fetch_all(consumer, 10 - 1)) == sorted(message.data for message in first[1:])


async def test_a_deleted_consumer_is_made_again(stream: EventStream, consumer: PullConsumer) -> None:
    await publish(stream, b"1")
    assert await fetch_all(consumer, 1) == [b"1"]
    await stream.api(f"CONSUMER.DELETE.{NAME}.{DURABLE}")
    await publish(stream, b"2")
    assert (await fetch_all(consumer, 2))[:2] == [b"1", b"2"]


async def test_a_deleted_stream_is_made_again_with_its_consumer(
    stream: EventStream, consumer: PullConsumer
) -> None:
    await publish(stream, b"1")
    assert await fetch_all(consumer, 1) == [b"1"]
    await stream.api(f"STREAM.DELETE.{NAME}")

    async def is_back() -> None:
        assert await consumer.fetch(10, 0.3) == []
        assert NAME in (await stream.api("STREAM.NAMES"))["streams"]

    await eventually(is_back)
    await publish(stream, b"2")
    assert await fetch_all(consumer, 1) == [b"2"]


async def test_a_broken_connection_is_outlived(
    broker: Broker, stream: EventStream, consumer: PullConsumer
) -> None:
    await publish(stream, b"1")
    assert await fetch_all(consumer, 1) == [b"1"]
    broker.wire().cut()

    def is_back() -> None:
        assert broker.epoch == 2
        assert broker.is_connected

    await eventually(is_back)
    await publish(stream, b"2")
    assert await fetch_all(consumer, 1) == [b"2"]
