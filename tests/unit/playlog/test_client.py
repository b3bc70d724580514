"""The client against a small API of its own: what goes out, and what each answer becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from playlog.client import ApiError, ApiUnreachable, Client

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


async def test_following_yields_each_event_once_and_outlives_a_database_that_is_away() -> None:
    log = [{"version": n, "event_type": "x"} for n in range(1, 6)]
    troubles = [problem(BUSY), problem({"status": 409, "code": "stale"})]

    async def answer(request: web.Request) -> web.Response:
        if troubles:
            return troubles.pop(0)
        if request.path.endswith("/events"):
            after = int(request.query["after_version"])
            page = [event for event in log if int(str(event["version"])) > after]
            return web.json_response({"items": page, "next_after_version": None})
        version = min(int(request.query["min_version"]) + 1, 5)
        status = "completed" if version == 5 else "running"
        return web.json_response({"version": version, "status": status})

    seen: list[int] = []
    async with api(answer) as client:
        async for events, standing in client.follow("1"):
            seen += [event["version"] for event in events]
            assert seen[-1] == standing["version"]
    assert seen == [1, 2, 3, 4, 5]


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
