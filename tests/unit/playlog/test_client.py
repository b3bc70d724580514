"""The client against a small API of its own: what goes out, and what each answer becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from playlog.client import Client
from playlog.problems import ApiError, ApiUnreachable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BUSY = {"status": 503, "code": "database_away", "detail": "the database is away"}


@asynccontextmanager
async def api(handler: Handler, *, token: str = "", seconds: float = 5.0) -> AsyncIterator[Client]:
    """A client of a server that answers every request with the handler."""
    app = web.Application()
    app.router.add_route("*", "/api/v1/{rest:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Client(
            f"http://127.0.0.1:{runner.addresses[0][1]}/", token or "t", seconds=seconds
        ) as client:
            yield client
    finally:
        await runner.cleanup()


def problem(document: dict[str, object]) -> web.Response:
    status = document["status"]
    assert isinstance(status, int)
    return web.json_response(document, status=status, content_type="application/problem+json")


async def test_a_start_says_what_to_run_and_who_asks() -> None:
    seen: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        seen.extend([request.method, request.path, request.headers["Authorization"], await request.json()])
        return web.json_response({"execution_id": "7", "version": 1, "status": "running"}, status=201)

    async with api(answer, token="secret") as client:
        started = await client.start("a/b", {"n": 1}, key="k", labels={"team": "x"})
    assert started == {"execution_id": "7", "version": 1, "status": "running"}
    order = {"playbook": "a/b", "inputs": {"n": 1}, "key": "k", "labels": {"team": "x"}}
    assert seen == ["POST", "/api/v1/executions", "Bearer secret", order]


async def test_a_problem_is_raised_with_its_document() -> None:
    document: dict[str, object] = {"status": 422, "code": "invalid_playbook", "detail": "no", "faults": [{}]}

    async def answer(_: web.Request) -> web.Response:
        return problem(document)

    async with api(answer) as client:
        with pytest.raises(ApiError, match="no") as caught:
            await client.register("playbook: x")
    assert (caught.value.status, caught.value.code) == (422, "invalid_playbook")
    assert caught.value.problem == document


async def test_what_is_no_api_is_said_to_be_none() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>", status=404)

    async with api(answer) as client:
        with pytest.raises(ApiUnreachable, match="this is not a playlog API"):
            await client.get("1")


async def test_an_answer_that_does_not_come_is_not_waited_for_for_ever() -> None:
    given_up = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await given_up.wait()
        return web.json_response({})

    async with api(answer, seconds=0.1) as client:
        with pytest.raises(ApiUnreachable, match=r"no answer within 0\.1 s"):
            await client.get("1")
        given_up.set()


async def test_waiting_asks_again_until_it_has_ended() -> None:
    answers = [
        problem({"status": 504, "code": "not_ended"}),
        problem({"status": 504, "code": "not_ended"}),
        web.json_response({"status": "completed"}),
    ]

    async def answer(_: web.Request) -> web.Response:
        return answers.pop(0)

    async with api(answer) as client:
        assert (await client.wait("1"))["status"] == "completed"
    assert answers == []


async def test_a_stream_yields_each_event_once_over_broken_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("playlog.event_streams.FIRST_PAUSE", 0.001)
    troubles = [problem(BUSY), None, problem(BUSY)]
    resumed: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if troubles and (trouble := troubles.pop(0)) is not None:
            return trouble
        after = int(request.headers["Last-Event-ID"])
        resumed.append(request.headers["Last-Event-ID"])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": ping\n\nretry: 1\n\n")
        for version in range(after + 1, min(after + 3, 6)):
            await response.write(b'id: %d\ndata: {"version":%d}\n\n' % (version, version))
        if after >= 4:
            await response.write(b'event: end\nid: 5\ndata: {"version":5,"status":"completed"}\n\n')
        elif after == 0:
            assert request.transport is not None
            request.transport.abort()
        return response

    async with api(answer) as client:
        seen = [event["version"] async for event in client.stream("1")]
    assert seen == [1, 2, 3, 4, 5]
    assert resumed[-1] == "4"


async def test_going_on_after_the_end_is_the_end_and_a_problem_is_raised() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers["Last-Event-ID"] == "9":
            return web.Response(status=204)
        return problem({"status": 404, "code": "unknown_execution", "detail": "no"})

    async with api(answer) as client:
        assert [event async for event in client.stream("1", after_version=9)] == []
        with pytest.raises(ApiError, match="no"):
            _ = [event async for event in client.stream("1")]


async def test_all_pages_of_events_are_read() -> None:
    async def answer(request: web.Request) -> web.Response:
        after = int(request.query["after_version"])
        return web.json_response(
            {"items": [{"version": after + 1}], "next_after_version": after + 1 if after < 2 else None}
        )

    async with api(answer) as client:
        assert [event["version"] for event in await client.events("1")] == [1, 2, 3]
        assert [event["version"] for event in await client.events("1", limit=2)] == [1, 2]


async def test_a_large_value_is_asked_for_where_its_address_says() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"asked": request.path})

    async with api(handler) as client:
        found = await client.payload("payload:17/" + "ab" * 32)
        gathered = await client.payload("map:17/price/3-9/outputs")
    assert found == {"asked": "/api/v1/executions/17/payloads/" + "ab" * 32}
    assert gathered == {"asked": "/api/v1/executions/17/maps/price/3-9/outputs"}
