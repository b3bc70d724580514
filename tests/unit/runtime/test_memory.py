from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from engine import errors
from engine.runtime.atomic_batch import OutgoingMessage
from engine.runtime.memory import MemoryStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.runtime.bus import Delivered


def messages(*numbers: int) -> list[OutgoingMessage]:
    return [OutgoingMessage(subject="playlog.events.1.1", payload=b"%d" % number) for number in numbers]


def payloads(delivered: Sequence[Delivered]) -> list[bytes]:
    return [each.data for each in delivered]


async def test_publishing_ends_with_the_last_acknowledgement_and_not_before() -> None:
    stream = MemoryStream()
    publishing = asyncio.create_task(stream.publish_atomic(messages(1, 2, 3)))
    first = await stream.fetch(2, 1.0)
    stream.acknowledge(first)
    rest = await stream.fetch(2, 1.0)
    assert not publishing.done()
    stream.acknowledge(rest)
    assert await publishing == (await stream.state()).last_seq


async def test_what_is_not_acknowledged_in_time_has_an_unknown_outcome_and_is_forgotten() -> None:
    stream = MemoryStream(publish_seconds=0.05)
    publishing = asyncio.create_task(stream.publish_atomic(messages(1, 2)))
    taken = await stream.fetch(1, 1.0)
    with pytest.raises(errors.UnknownOutcome) as caught:
        await publishing
    assert caught.value.code == "broker_not_accepting"
    assert (await stream.state()).messages == 0
    stream.hand_back(taken)
    assert await stream.fetch(10, 0.0) == []


async def test_a_publisher_that_is_stopped_leaves_nothing_behind() -> None:
    stream = MemoryStream()
    publishing = asyncio.create_task(stream.publish_atomic(messages(1, 2)))
    taken = await stream.fetch(1, 1.0)
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    assert (await stream.state()).messages == 0
    stream.acknowledge(taken)


async def test_what_is_handed_back_comes_again_in_order_before_the_rest() -> None:
    stream = MemoryStream()
    publishing = asyncio.create_task(stream.publish_atomic(messages(1, 2, 3, 4)))
    stream.hand_back(await stream.fetch(3, 1.0))
    again = await stream.fetch(10, 0.0)
    assert payloads(again) == [b"1", b"2", b"3", b"4"]
    stream.acknowledge(again)
    await publishing


async def test_one_publisher_does_not_wait_for_the_messages_of_another() -> None:
    stream = MemoryStream()
    slow = asyncio.create_task(stream.publish_atomic(messages(1)))
    kept = await stream.fetch(1, 1.0)
    quick = asyncio.create_task(stream.publish_atomic(messages(2)))
    stream.acknowledge(await stream.fetch(1, 1.0))
    last = await quick
    assert not slow.done()
    stream.acknowledge(kept)
    assert await slow == last - 1


async def test_sequences_go_on_growing_in_the_next_process() -> None:
    before = await MemoryStream().state()
    after = await MemoryStream().state()
    assert after.created == before.created
    assert after.last_seq > before.last_seq
