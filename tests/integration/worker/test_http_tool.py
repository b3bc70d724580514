from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.support.tool_contexts import Logged
from worker.tools.addresses import AddressPolicy, AllowedAddress
from worker.tools.contract import ToolFailed
from worker.tools.http import RESPONSE_LIMIT, http_tool, open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NEVER = web.AppKey("never", asyncio.Event)


async def _answer(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/echo":
            seen = {
                "method": request.method,
                "query": [list(pair) for pair in request.query.items()],
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": await request.text(),
            }
            return web.json_response(seen)
        case "/status":
            return web.Response(status=int(request.query["is"]), text="x" * 5000)
        case "/away":
            raise web.HTTPFound(request.query["to"])
        case "/large":
            return web.Response(body=b"x" * (RESPONSE_LIMIT + 1))
        case "/broken":
            return web.Response(body=b"{", content_type="application/json")
        case "/slow":
            await request.read()
            await request.app[NEVER].wait()
    return web.Response(text="pl\u00e4in\x00", headers={"Set-Cookie": "session=1"})


@pytest.fixture
async def server() -> AsyncIterator[str]:
    app = web.Application()
    app[NEVER] = asyncio.Event()
    app.router.add_route("*", "/{tail:.*}", _answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _run(value: object, *allowed: str, traceparent: str | None = None) -> Any:
    policy = AddressPolicy(AllowedAddress.parse(entry) for entry in allowed)
    async with open_session(policy) as session:
        return await http_tool(session)(value, Logged().context(traceparent=traceparent))


async def _fails(value: object, *allowed: str) -> ToolFailed:
    with pytest.raises(ToolFailed) as caught:
        await _run(value, *allowed)
    return caught.value


async def test_a_request_carries_what_was_given(server: str) -> None:
    value = {
        "method": "post",
        "url": f"http://{server}/echo?a=1",
        "headers": {"X-Number": 5},
        "query": {"b": [1, "zwei"], "c": True, "d": None},
        "body": {"k": None},
    }
    output = await _run(value, server, traceparent="00-abc-def-01")
    seen = output["body"]
    assert output["status"] == 200
    assert output["headers"]["content-type"] == "application/json; charset=utf-8"
    assert seen["method"] == "POST"
    assert seen["query"] == [["a", "1"], ["b", "1"], ["b", "zwei"], ["c", "true"]]
    assert seen["body"] == '{"k":null}'
    assert seen["headers"]["content-type"] == "application/json"
    assert (seen["headers"]["x-number"], seen["headers"]["traceparent"]) == ("5", "00-abc-def-01")


@pytest.mark.parametrize(
    ("headers", "expected"), [({}, "4711/pay/0/0"), ({"idempotency-KEY": "my own"}, "my own")]
)
async def test_a_request_carries_the_idempotency_key_unless_it_has_one(
    server: str, headers: dict[str, str], expected: str
) -> None:
    policy = AddressPolicy([AllowedAddress.parse(server)])
    context = Logged().context(idempotency_key="4711/pay/0/0")
    value = {"url": f"http://{server}/echo", "headers": headers}
    async with open_session(policy) as session:
        output: Any = await http_tool(session)(value, context)
    assert output["body"]["headers"]["idempotency-key"] == expected


async def test_text_is_sent_and_read_as_text(server: str) -> None:
    output = await _run({"method": "PUT", "url": f"http://{server}/echo", "text": "hällo"}, server)
    assert output["body"]["body"] == "hällo"
    plain = await _run({"url": f"http://{server}/plain"}, server)
    assert plain["body"] == "pl\u00e4in\ufffd"


async def test_cookies_of_one_execution_do_not_reach_another(server: str) -> None:
    async with open_session(AddressPolicy([AllowedAddress.parse(server)])) as session:
        tool = http_tool(session)
        await tool({"url": f"http://{server}/plain"}, Logged().context())
        output: Any = await tool({"url": f"http://{server}/echo"}, Logged().context())
    assert "cookie" not in output["body"]["headers"]


async def test_an_error_status_fails_with_status_and_excerpt(server: str) -> None:
    failure = await _fails({"url": f"http://{server}/status?is=503"}, server)
    assert (failure.code, failure.status) == ("http_status", 503)
    assert failure.message == "the server answered 503 Service Unavailable"
    assert failure.details == {"body": "x" * 2048}


async def test_expect_names_the_statuses_that_complete(server: str) -> None:
    assert (await _run({"url": f"http://{server}/status?is=404", "expect": [200, 404]}, server))[
        "status"
    ] == 404
    assert (await _fails({"url": f"http://{server}/status?is=200", "expect": 404}, server)).status == 200


@pytest.mark.parametrize(
    ("path", "more", "code"),
    [
        ("large", {}, "response_too_large"),
        ("broken", {}, "bad_response"),
        ("slow", {"timeout": "50ms"}, "timeout"),
        ("away?to=ftp://example.com/", {}, "not_allowed"),
        ("away?to=/away%3Fto%3D/plain", {}, None),
    ],
)
async def test_a_response_that_cannot_be_used_has_its_code(
    server: str, path: str, more: dict[str, object], code: str | None
) -> None:
    value = {"url": f"http://{server}/{path}", **more}
    if code is None:
        assert (await _run(value, server))["status"] == 200
    else:
        assert (await _fails(value, server)).code == code


async def test_a_server_that_does_not_answer_is_unreachable(unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    assert (await _fails({"url": f"http://{address}/"}, address)).code == "http_unreachable"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "[::]",
        "127.1",
        "0x7f000001",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
    ],
)
async def test_an_address_of_the_platform_is_refused(server: str, host: str) -> None:
    port = server.rpartition(":")[2]
    failure = await _fails({"url": f"http://{host}:{port}/plain"})
    assert failure.code in {"not_allowed", "validation"}
    assert "127.0.0.1:" not in str(failure.details)


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "127.0.0.2", "[::ffff:127.0.0.2]"])
async def test_a_redirect_does_not_get_around_the_check(server: str, host: str) -> None:
    # `localhost` leads to an allowed address, but at another port.
    target = f"http://{host}:1/plain"
    failure = await _fails({"url": f"http://{server}/away?to={target}"}, server)
    assert failure.code == "not_allowed"


async def test_an_allow_listed_name_is_followed(server: str) -> None:
    port = server.rpartition(":")[2]
    output = await _run({"url": f"http://localhost:{port}/plain"}, f"localhost:{port}")
    assert output["status"] == 200


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "with.url: Field required"),
        ({"url": "/relative"}, "absolute http"),
        ({"url": "ftp://example.com/"}, "absolute http"),
        ({"url": "http://"}, "absolute http"),
        ({"url": 5}, "with.url"),
        ({"url": "http://[::1"}, "with.url"),
        ({"url": "http://example.com:99999/"}, "with.url"),
        ({"url": "http://e.com", "method": "TRACE"}, "with.method"),
        ({"url": "http://e.com", "headers": {"a b": "c"}}, "no header name"),
        ({"url": "http://e.com", "headers": {"a": "b\r\nc: d"}}, "no line breaks"),
        ({"url": "http://e.com", "headers": {"a": None}}, "with.headers"),
        ({"url": "http://e.com", "query": {"a": {}}}, "with.query"),
        ({"url": "http://e.com", "body": 1, "text": "x"}, "exclude each other"),
        ({"url": "http://e.com", "timeout": 5}, "a duration such as"),
        ({"url": "http://e.com", "expect": 99}, "with.expect"),
        ({"url": "http://e.com", "methd": "GET"}, "did you mean method"),
    ],
)
async def test_bad_input_is_named(value: object, says: str) -> None:
    failure = await _fails(value)
    assert failure.code == "validation"
    assert says in failure.message
