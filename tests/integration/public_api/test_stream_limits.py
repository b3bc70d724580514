"""Streams are bounded: slow readers are dropped, too many refused, and the end of the process ends them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from engine.domain.messages import Span, body
from engine.runtime import metrics
from engine.runtime.atomic_batch import OutgoingMessage
from engine.runtime.memory import MemoryStream
from tests.support.event_source import Source, listening
from tests.support.eventually import eventually
from tests.support.public_api import WAITING, PublicApi, running_public_api

FEED = "/events/stream"
ROUTE = "/api/v1/events/stream"
LIMITS = {"max_streams": 3, "stream_buffer_bytes": 2**20, "stream_write_timeout": 0.5}


@contextlib.asynccontextmanager
async def small_api(database_url: str, stream: MemoryStream) -> AsyncIterator[PublicApi]:
    async with running_public_api(database_url, stream.tail, **LIMITS) as api:
        await api.register(WAITING)
        yield api


async def tell(stream: MemoryStream, number: int, padding: int) -> None:
    """Publish a message with one event, as if it were projected at once."""
    event = b'{"version":%d,"event_type":"x","status":"S","payload":"%b"}' % (number, b"x" * padding)
    message = OutgoingMessage(
        subject="playlog.events.1.7",
        payload=body(Span(7, number, number), None, None, [event]),
        header_lines=b"Nats-Msg-Id: 7:1-1:1\r\n",
    )
    publishing = asyncio.create_task(stream.publish_one(message))
    stream.acknowledge(await stream.fetch(1, 5.0))
    await publishing


@contextlib.asynccontextmanager
async def deaf(api: PublicApi, path: str) -> AsyncIterator[socket.socket]:
    """A client that asks for a stream and reads nothing of it."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", api.port))
        request = f"GET /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n\r\n"
        await loop.sock_sendall(client, request.encode())
        yield client


async def open_streams(api: PublicApi, count: int) -> None:
    def check() -> None:
        assert len(api.live.sources) == count

    await eventually(check)


async def test_a_reader_that_stops_reading_is_dropped_while_others_go_on(database_url: str) -> None:
    stream = MemoryStream()
    async with small_api(database_url, stream) as api, listening(api.session, FEED) as source:
        before = metrics.streams_dropped.labels(ROUTE)._value.get()
        async with deaf(api, FEED):
            await open_streams(api, 2)
            await eventually(lambda: joined(api, 2))
            for number in range(1, 201):
                await tell(stream, number, 60_000)
                sent = await source.next()
                assert sent is not None
                assert sent.data["version"] == number
            await open_streams(api, 1)
        assert metrics.streams_dropped.labels(ROUTE)._value.get() == before + 1
        await tell(stream, 201, 1)
        sent = await source.next()
        assert sent is not None
        assert sent.data["version"] == 201


def joined(api: PublicApi, count: int) -> None:
    assert len(api.live.feed._clients) == count


async def test_a_reader_that_takes_nothing_of_a_long_history_is_dropped(database_url: str) -> None:
    async with small_api(database_url, MemoryStream()) as api:
        execution_id = await api.start("tests/deep/waiting")
        for _ in range(30):
            await api.post(f"/executions/{execution_id}/signals/other", "x" * 200_000)
        async with deaf(api, f"/executions/{execution_id}/stream"):
            await open_streams(api, 1)
            await open_streams(api, 0)
        async with listening(api.session, f"/executions/{execution_id}/stream") as source:
            assert len(await source.take(32)) == 32


async def test_more_streams_than_allowed_are_refused_until_one_has_ended(database_url: str) -> None:
    async with small_api(database_url, MemoryStream()) as api, contextlib.AsyncExitStack() as stack:
        execution_id = await api.start("tests/deep/waiting")
        path = f"/executions/{execution_id}/stream"
        for each in (path, FEED):
            await stack.enter_async_context(listening(api.session, each))
        async with listening(api.session, f"/executions/{execution_id}/logs?follow"):
            for each in (path, FEED, f"/executions/{execution_id}/logs?follow=true"):
                answer = await api.get(each)
                assert (answer.status, answer.json["code"]) == (503, "too_many_streams")
                assert 1 <= int(answer.headers["Retry-After"]) <= 5
        await eventually(lambda: one_more(api, path))


async def one_more(api: PublicApi, path: str) -> None:
    async with api.session.get(f"/api/v1{path}") as response:
        assert response.status == 200


async def test_streams_end_at_once_when_the_process_stops_and_say_when_to_come_again(
    database_url: str,
) -> None:
    async with small_api(database_url, MemoryStream()) as api, contextlib.AsyncExitStack() as stack:
        execution_id = await api.start("tests/deep/waiting")
        paths = [f"/executions/{execution_id}/stream", FEED, f"/executions/{execution_id}/logs?follow"]
        sources: list[Source] = [
            await stack.enter_async_context(listening(api.session, path)) for path in paths
        ]
        await sources[0].take(2)
        api.live.sources.close()
        async with asyncio.timeout(5):
            rests = [await source.response.content.read() for source in sources]
        assert all(rest.rpartition(b"retry: ")[2].strip().isdigit() for rest in rests)
        assert (await api.get(FEED)).status == 503


@pytest.mark.parametrize("header", ["Host", "Origin"])
async def test_no_web_page_elsewhere_may_listen(api: PublicApi, header: str) -> None:
    value = "evil.example" if header == "Host" else "http://evil.example"
    assert (await api.get(FEED, headers={header: value})).status == 403
