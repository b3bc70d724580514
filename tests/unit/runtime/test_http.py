from __future__ import annotations

import asyncio
import gzip
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import asyncpg
import orjson
import pytest
from aiohttp import web

from engine import errors
from engine.runtime.http import json_response, make_app, parse_json, read_json, serve
from engine.runtime.settings import HttpSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT = 1024
JSON = {"Content-Type": "application/json"}
CRASHES: dict[str, Exception] = {
    "bug": ValueError("the attacker's <script>"),
    "database": asyncpg.UniqueViolationError("duplicate key <script>"),
    "away": ConnectionResetError("<script>"),
    "busy": errors.Busy(retry_after=1.2),
    "invalid": errors.Invalid("2 faults", errors=[{"loc": ["a"], "msg": "b", "type": "c"}]),
    "denied": errors.Denied(code="unauthorized", status=401, headers={"WWW-Authenticate": "Bearer"}),
}


async def echo(request: web.Request) -> web.Response:
    return json_response({"body": await read_json(request)})


async def crash(request: web.Request) -> web.Response:
    raise CRASHES[request.match_info["how"]]


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    raise errors.Unavailable


@asynccontextmanager
async def serving(**changes: float) -> AsyncIterator[int]:
    settings = HttpSettings.model_validate({"body_limit": LIMIT, **changes})
    routes = [web.post("/echo", echo), web.get("/crash/{how}", crash), web.get("/stream", stream)]
    app = make_app(routes, settings)
    server = await serve(app, 0)
    try:
        yield server.port
    finally:
        await server.close()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving() as port:
        yield port


@pytest.fixture
async def client(port: int) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session


async def problem_of(response: aiohttp.ClientResponse) -> dict[str, object]:
    assert response.content_type == "application/problem+json"
    document: dict[str, object] = orjson.loads(await response.read())
    assert {"type", "title", "status", "detail", "instance", "code"} <= document.keys()
    assert document["status"] == response.status
    assert document["instance"] == f"urn:playlog:request:{response.headers['X-Request-Id']}"
    assert "script" not in str(document)
    return document


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere/<script>", 404, "not_found"),
        ("GET", "/../../etc/<script>", 404, "not_found"),
        ("DELETE", "/echo", 405, "method_not_allowed"),
        ("TRACE", "/echo", 405, "method_not_allowed"),
        ("GET", "/crash/bug", 500, "internal_error"),
        ("GET", "/crash/database", 422, "invalid"),
        ("GET", "/crash/away", 503, "database_away"),
        ("GET", "/crash/busy", 429, "busy"),
        ("GET", "/crash/invalid", 422, "invalid"),
        ("GET", "/crash/denied", 401, "unauthorized"),
    ],
)
async def test_every_error_is_a_problem_document(
    client: aiohttp.ClientSession, method: str, path: str, status: int, code: str
) -> None:
    async with client.request(method, path) as response:
        document = await problem_of(response)
    assert (response.status, document["code"]) == (status, code)


async def test_what_an_error_carries_reaches_the_client(client: aiohttp.ClientSession) -> None:
    async with client.get("/crash/busy") as response:
        assert response.headers["Retry-After"] == "2"
    async with client.get("/crash/denied") as response:
        assert response.headers["WWW-Authenticate"] == "Bearer"
    async with client.get("/crash/invalid") as response:
        assert (await problem_of(response))["errors"] == [{"loc": ["a"], "msg": "b", "type": "c"}]
    async with client.delete("/echo") as response:
        assert response.headers["Allow"] == "POST"


async def test_a_stream_that_fails_after_its_beginning_is_cut_off_and_not_mixed_with_a_problem(
    port: int,
) -> None:
    answer = await exchange(port, b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.endswith(b"begun\r\n")
    assert b"problem" not in answer


async def test_an_unexpected_error_is_logged_with_its_traceback(
    client: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client.get("/crash/bug"):
        pass
    assert "the attacker's <script>" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "malformed"),
        (b"{} {}", JSON, 400, "malformed"),
        (b"[1,]", JSON, 400, "malformed"),
        (b" ", JSON, 400, "malformed"),
        (b"NaN", JSON, 400, "malformed"),
        (b"[Infinity]", JSON, 400, "malformed"),
        (b"\xef\xbb\xbf{}", JSON, 400, "malformed"),
        ("{}".encode("utf-16"), JSON, 400, "malformed"),
        (b'"\xff"', JSON, 400, "malformed"),
        (b'"\xc0\xaf"', JSON, 400, "malformed"),
        (b'"\x00"', JSON, 400, "malformed"),
        (rb'"\ud800"', JSON, 400, "malformed"),
        (b"[" * 1000, JSON, 400, "malformed"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b"{}", {"Content-Type": "application/jsonp"}, 415, "unsupported_media_type"),
        (b"{}", {"Content-Type": "application/octet-stream"}, 415, "unsupported_media_type"),
        (gzip.compress(b"{}", mtime=0), {**JSON, "Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        (b'"' + b"x" * LIMIT + b'"', JSON, 413, "too_large"),
    ],
)
async def test_a_bad_body_is_refused_and_a_good_one_after_it_works(
    client: aiohttp.ClientSession, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    async with client.post("/echo", data=body, headers=headers) as response:
        assert (response.status, (await problem_of(response))["code"]) == (status, code)
    async with client.post("/echo", data=b"[1]", headers=JSON) as response:
        assert await response.json() == {"body": [1]}


async def test_a_chunked_body_over_the_limit_is_refused(client: aiohttp.ClientSession) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * 512

    async with client.post("/echo", data=chunks(), headers=JSON) as response:
        assert (await problem_of(response))["code"] == "too_large"


@pytest.mark.parametrize(
    ("body", "headers", "read"),
    [
        (b"", {}, None),
        (b'{"a": 1}', {"Content-Type": "application/vnd.playlog.v1+json; charset=utf-8"}, {"a": 1}),
        (b"9223372036854775807", JSON, 2**63 - 1),
        (b"null", JSON, None),
    ],
)
async def test_a_good_body_is_read(
    client: aiohttp.ClientSession, body: bytes, headers: dict[str, str], read: object
) -> None:
    async with client.post("/echo", data=body, headers=headers) as response:
        assert await response.json() == {"body": read}


@pytest.mark.parametrize(("given", "honoured"), [("abc-1", True), ("<script>", False), ("x" * 129, False)])
async def test_a_request_id_is_honoured_when_harmless(
    client: aiohttp.ClientSession, given: str, *, honoured: bool
) -> None:
    async with client.post("/echo", headers={"X-Request-Id": given}) as response:
        assert (response.headers["X-Request-Id"] == given) is honoured


async def exchange(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "sent",
    [
        b"<script> / HTTP/1.1\r\n\r\n",
        b"GET /<script>\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n<script>\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"<script>" * 2000 + b"\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: <script>\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Length: 8\r\n\r\n<script>",
        b"\x16\x03\x01<script>\r\n\r\n",
    ],
)
async def test_unreadable_http_gets_a_problem_without_its_bytes(port: int, sent: bytes) -> None:
    answer = await exchange(port, sent)
    assert re.match(rb"HTTP/\d\.\d 40[04] ", answer)
    assert b"application/problem+json" in answer
    assert b"script" not in answer


async def test_a_body_that_never_comes_is_given_up() -> None:
    async with serving(body_timeout=0.05) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()


async def test_headers_that_never_end_are_given_up() -> None:
    async with serving(keepalive_timeout=0.05) as port:
        assert await exchange(port, b"POST /echo HTTP/1.1\r\nHost: a\r\n") == b""


async def test_connections_beyond_the_most_get_503_and_the_others_go_on() -> None:
    async with serving(max_connections=1) as port, aiohttp.ClientSession() as session:
        async with session.post(f"http://127.0.0.1:{port}/echo") as response:
            assert response.status == 200
        assert (await exchange(port, b"")).startswith(b"HTTP/1.1 503 ")
        async with session.post(f"http://127.0.0.1:{port}/echo") as response:
            assert response.status == 200


def test_the_place_of_a_fault_is_told_but_not_the_text() -> None:
    with pytest.raises(errors.Malformed, match="line 2, column 7") as caught:
        parse_json(b'{\n "a": hunter2}')
    assert "hunter2" not in caught.value.detail
