from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from engine import errors
from engine.runtime.atomic_batch import MESSAGE_KNOWN, NOT_ENABLED, BatchRefused, OutgoingMessage
from engine.runtime.broker import Broker, Refused
from engine.runtime.embedded import EmbeddedNats
from engine.runtime.settings import BrokerSettings
from engine.runtime.stream import STREAM_MISSING, EventStream
from tests.support.crashing import CURRENT, CrashingBroker, Plan
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAME = "PLAYLOG_EVENTS"


def settings_for(url: str) -> BrokerSettings:
    return BrokerSettings(nats_url=url, stream_max_bytes=2**26)


def message(number: int, *, size: int = 10) -> OutgoingMessage:
    return OutgoingMessage(
        subject=f"playlog.events.{number % 16}.{number}",
        payload=b"x" * size,
        header_lines=f"Nats-Msg-Id: {number}:1-1:0\r\ntraceparent: é\r\n".encode(),
    )


def messages(*numbers: int) -> list[OutgoingMessage]:
    return [message(number) for number in numbers]


@pytest.fixture
async def broker(nats_url: str) -> AsyncIterator[Broker]:
    broker = Broker(settings_for(nats_url))
    await broker.connect(wait_seconds=10)
    yield broker
    await broker.close()


@pytest.fixture
async def stream(broker: Broker, nats_url: str) -> EventStream:
    stream = EventStream(broker, settings_for(nats_url))
    await stream.ensure()
    await stream.state()
    return stream


async def stored(stream: EventStream) -> int:
    return (await stream.state()).messages


async def test_a_batch_is_stored_whole_and_in_order(stream: EventStream) -> None:
    assert await stream.publish_atomic(messages(*range(1, 1001))) == 1000
    for sequence in (1, 2, 500, 1000):
        found = await stream.api(f"STREAM.MSG.GET.{NAME}", {"seq": sequence})
        assert found["message"]["subject"] == f"playlog.events.{sequence % 16}.{sequence}"
    assert await stored(stream) == 1000


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_a_small_batch_is_a_batch_too(stream: EventStream, count: int) -> None:
    assert await stream.publish_atomic(messages(*range(count))) == count


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_batch_whose_connection_breaks_is_stored_whole_or_not_at_all(
    stream: EventStream, nats_url: str, call: int, *, after: bool
) -> None:
    """Calls: the first message, which is answered; all but the last, which are not; the last."""
    plan = Plan()
    CURRENT.set(plan)
    broker = CrashingBroker(settings_for(nats_url))
    try:
        await broker.connect(wait_seconds=10)
        breaking = EventStream(broker, settings_for(nats_url))
        await breaking.state()
        plan.arm(call, after=after)
        unclear = call == 3
        with pytest.raises(errors.UnknownOutcome if unclear else errors.Unavailable):
            await breaking.publish_atomic(messages(1, 2, 3))
    finally:
        await broker.close()
    assert plan.fired
    assert await stored(stream) == (3 if unclear and after else 0)


@pytest.mark.parametrize("batch", [(5, 1), (1, 5), (5, 1, 6), (1,)])
async def test_a_batch_with_a_known_id_is_refused_whole(stream: EventStream, batch: tuple[int, ...]) -> None:
    await stream.publish_one(message(1))
    with pytest.raises(BatchRefused) as caught:
        await stream.publish_atomic(messages(*batch))
    assert caught.value.err_code == MESSAGE_KNOWN
    assert await stored(stream) == 1
    assert await stream.publish_atomic(messages(5, 6)) == 3


async def test_a_single_message_that_is_known_is_a_duplicate(stream: EventStream) -> None:
    first = await stream.publish_one(message(1))
    again = await stream.publish_one(message(1))
    assert (first.seq, first.duplicate) == (1, False)
    assert (again.seq, again.duplicate) == (1, True)


async def test_a_message_too_large_for_the_server_costs_nobody_the_connection(
    stream: EventStream, broker: Broker
) -> None:
    with pytest.raises(errors.TooLarge):
        await stream.publish_atomic([message(1), message(2, size=2**24), message(3)])
    with pytest.raises(errors.TooLarge):
        await stream.publish_one(message(2, size=2**24))
    assert await stream.publish_atomic(messages(1, 3)) == 2
    assert broker.epoch == 1


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_1_to_1000_messages(stream: EventStream, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000"):
        await stream.publish_atomic(messages(*range(count)))


async def test_a_batch_has_at_most_8_mib(stream: EventStream) -> None:
    with pytest.raises(ValueError, match="8388608 bytes"):
        await stream.publish_atomic([message(number, size=900_000) for number in range(10)])
    assert await stored(stream) == 0


async def test_a_stream_without_atomic_batches_refuses_them_and_says_so(
    broker: Broker, nats_url: str
) -> None:
    stream = EventStream(broker, settings_for(nats_url))
    await stream.api(f"STREAM.CREATE.{NAME}", {"name": NAME, "subjects": ["playlog.events.>"]})
    assert not (await stream.state()).allow_atomic
    with pytest.raises(BatchRefused) as caught:
        await stream.publish_atomic(messages(1, 2))
    assert caught.value.err_code == NOT_ENABLED
    assert await stored(stream) == 0
    await stream.ensure()
    assert (await stream.state()).allow_atomic
    assert await stream.publish_atomic(messages(1, 2)) == 2


async def test_two_batches_at_once_do_not_mix(stream: EventStream) -> None:
    lasts = await asyncio.gather(
        stream.publish_atomic(messages(*range(400))), stream.publish_atomic(messages(*range(400, 800)))
    )
    assert sorted(lasts) == [400, 800]


async def test_a_deleted_stream_is_made_again_as_another_one(stream: EventStream) -> None:
    before = await stream.state()
    await stream.api(f"STREAM.DELETE.{NAME}")
    with pytest.raises(Refused) as caught:
        await stream.state()
    assert caught.value.err_code == STREAM_MISSING
    with pytest.raises(errors.Unavailable) as unheard:
        await stream.publish_one(message(1))
    assert unheard.value.code == "broker_no_responders"
    await stream.ensure()
    after = await stream.state()
    assert after.created != before.created
    assert after.allow_atomic


async def test_limits_of_an_operator_are_not_made_smaller(stream: EventStream) -> None:
    config = (await stream.api(f"STREAM.INFO.{NAME}"))["config"]
    larger = {**config, "max_bytes": 2**27, "max_age": config["max_age"] * 2, "description": "mine"}
    await stream.api(f"STREAM.UPDATE.{NAME}", larger)
    await stream.ensure()
    kept = (await stream.api(f"STREAM.INFO.{NAME}"))["config"]
    assert (kept["max_bytes"], kept["max_age"], kept["description"]) == (2**27, larger["max_age"], "mine")


async def test_nothing_is_published_over_a_new_connection_before_the_stream_is_looked_at(
    stream: EventStream, broker: Broker
) -> None:
    broker.wire().cut()

    def is_back() -> None:
        assert broker.epoch == 2
        assert broker.is_connected

    await eventually(is_back)
    with pytest.raises(errors.Unavailable) as caught:
        await stream.publish_atomic(messages(1, 2))
    assert caught.value.code == "broker_unchecked"
    await stream.state()
    assert await stream.publish_atomic(messages(1, 2)) == 2


async def test_a_server_that_goes_down_fails_publishing_quickly_and_comes_back_with_what_it_had(
    home: Path,
) -> None:
    server = EmbeddedNats(home)
    await server.start()
    broker = Broker(settings_for(server.url))
    try:
        await broker.connect(wait_seconds=10)
        stream = EventStream(broker, settings_for(server.url))
        await stream.ensure()
        before = await stream.state()
        await stream.publish_atomic(messages(1, 2))
        await server.stop()
        async with asyncio.timeout(1):
            with pytest.raises(errors.PlaylogError) as caught:
                await stream.publish_atomic(messages(3, 4))
        assert caught.value.status == 503
        await server.start()

        async def is_back() -> None:
            assert broker.is_connected
            state = await stream.state()
            assert (state.created, state.last_seq) == (before.created, 2)

        await eventually(is_back)
        assert await stream.publish_atomic(messages(3, 4)) == 4
    finally:
        await broker.close()
        await server.stop()
