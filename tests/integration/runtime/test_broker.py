from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from engine import errors
from engine.runtime.announcer import EVERYONE
from engine.runtime.broker import Broker
from engine.runtime.embedded import EmbeddedNats
from engine.runtime.settings import BrokerSettings
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Broker]:
    broker = Broker(BrokerSettings(nats_url=url))
    await broker.connect(wait_seconds=10)
    try:
        yield broker
    finally:
        await broker.close()


async def test_a_wake_reaches_every_listener_of_its_topic(nats_url: str) -> None:
    heard: list[bytes] = []
    others: list[bytes] = []
    async with connected(nats_url) as listener, connected(nats_url) as speaker:
        await listener.listen("projector", heard.append)
        await listener.listen("publisher", others.append)
        await listener.wire().flush()
        speaker.announce("projector", b"[[1, 2]]")

        def arrived() -> None:
            assert heard == [EVERYONE, b"[[1, 2]]"]

        await eventually(arrived)
    assert others == [EVERYONE]


@pytest.mark.parametrize("topic", ["", "a b", "a\r\nPUB x 0", "a.*", ">", "ä"])
async def test_a_topic_that_would_break_the_protocol_is_a_mistake(nats_url: str, topic: str) -> None:
    async with connected(nats_url) as broker:
        with pytest.raises(ValueError, match="topic"):
            broker.announce(topic, b"")


async def test_without_a_server_everything_fails_at_once_and_a_wake_is_dropped() -> None:
    broker = Broker(BrokerSettings(nats_url="nats://127.0.0.1:1"))
    try:
        with pytest.raises(errors.Unavailable) as caught:
            await broker.connect(wait_seconds=0.2)
        assert caught.value.code == "broker_away"
        async with asyncio.timeout(0.1):
            with pytest.raises(errors.Unavailable):
                await broker.request("anything")
        broker.announce("projector", b"[]")
        assert not broker.is_connected
    finally:
        await broker.close()


async def test_a_subject_that_nobody_answers_is_said(nats_url: str) -> None:
    async with connected(nats_url) as broker:
        with pytest.raises(errors.Unavailable) as caught:
            await broker.request("nobody.here")
    assert caught.value.code == "broker_no_responders"


def test_a_broker_needs_a_server() -> None:
    with pytest.raises(errors.Misconfigured):
        Broker(BrokerSettings(nats_url=None))


async def test_a_restarted_server_is_found_again_and_listeners_look_for_themselves(home: Path) -> None:
    server = EmbeddedNats(home)
    await server.start()
    heard: list[bytes] = []
    try:
        async with connected(server.url) as broker:
            await broker.listen("projector", heard.append)
            await server.stop()

            def is_away() -> None:
                assert not broker.is_connected

            await eventually(is_away)
            assert heard == [EVERYONE]
            await server.start()

            def is_back() -> None:
                assert broker.is_connected
                assert heard == [EVERYONE, EVERYONE]

            await eventually(is_back)
            assert broker.epoch == 2
            broker.announce("projector", b"[[1, 2]]")

            def arrived() -> None:
                assert heard[-1] == b"[[1, 2]]"

            await eventually(arrived)
    finally:
        await server.stop()


async def test_a_request_fails_when_the_connection_breaks_and_not_after_its_time(nats_url: str) -> None:
    async with connected(nats_url) as broker, connected(nats_url) as silent:
        await silent.wire().subscribe("silent")
        await silent.wire().flush()
        request = asyncio.create_task(broker.request("silent", timeout=60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        broker.wire().cut()
        async with asyncio.timeout(2):
            with pytest.raises(errors.Unavailable):
                await request


async def test_an_error_that_closes_the_connection_for_good_is_survived(nats_url: str) -> None:
    async with connected(nats_url) as broker:
        broker.wire().write(b"NONSENSE\r\n")

        def is_back() -> None:
            assert broker.epoch == 2
            assert broker.is_connected

        await eventually(is_back)
