"""Payloads over HTTP: what is refused, and that the limit holds however the bytes are sent."""

from __future__ import annotations

import asyncio
import os
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson
import pytest
from yarl import URL

from engine.domain.handles import MOST_BYTES
from internal_api.api import UPLOADS_AT_ONCE
from tests.support.eventually import eventually
from tests.support.internal_api import Answer, Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLAYBOOK = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
BODY = b'{"large": true}'
NAME = sha256(BODY).hexdigest()


async def put(client: Client, path: str, body: bytes | AsyncIterator[bytes] | None) -> Answer:
    headers = client.headers | {"Content-Type": "application/octet-stream"}
    async with client.session.put(f"/api/internal/payloads/{path}", data=body, headers=headers) as response:
        return Answer(response.status, response.headers, orjson.loads(await response.read()))


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 2**20):
        yield bytes(2**20)
    yield bytes(size % 2**20)


@pytest.fixture
async def execution_id(client: Client) -> int:
    await client.engine.register(PLAYBOOK)
    return await client.start("t/one")


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (NAME.upper() + "?execution_id={id}", BODY, (422, "invalid")),
        (NAME[:-1] + "?execution_id={id}", BODY, (422, "invalid")),
        ("g" * 64 + "?execution_id={id}", BODY, (422, "invalid")),
        (NAME + "0?execution_id={id}", BODY, (422, "invalid")),
        (NAME, BODY, (422, "invalid")),
        (NAME + "?execution_id=0", BODY, (422, "invalid")),
        (NAME + "?execution_id=x", BODY, (422, "invalid")),
        (NAME + "?execution_id={id}&execution_id={id}", BODY, (422, "invalid")),
        (NAME + "?execution_id={id}&more=1", BODY, (422, "invalid")),
        (NAME + "?execution_id=1", BODY, (404, "unknown_execution")),
        (NAME + "?execution_id={id}", b"", (400, "empty")),
        (NAME + "?execution_id={id}", None, (400, "empty")),
        (NAME + "?execution_id={id}", BODY + b" ", (422, "hash_mismatch")),
    ],
)
async def test_bad_requests_have_their_status_and_store_nothing(
    client: Client, execution_id: int, path: str, body: bytes | None, expected: tuple[int, str]
) -> None:
    answer = await put(client, path.format(id=execution_id), body)
    assert (answer.status, answer.code) == expected
    assert await client.engine.value("select count(*) from playlog.payload") == 0


async def test_16_mib_are_taken_and_one_byte_more_is_413_also_in_chunks(
    client: Client, execution_id: int
) -> None:
    for size, status in ((MOST_BYTES, 200), (MOST_BYTES + 1, 413)):
        path = f"{sha256(bytes(size)).hexdigest()}?execution_id={execution_id}"
        assert (await put(client, path, chunks(size))).status == status
    assert await client.engine.value("select array_agg(bytes) from playlog.payload") == [MOST_BYTES]


async def test_a_length_over_the_limit_is_413_before_a_byte_of_it_is_sent(
    client: Client, execution_id: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(client.url).port)
    path = f"/api/internal/payloads/{NAME}?execution_id={execution_id}"
    authorization = client.headers["Authorization"]
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {authorization}\r\n"
    writer.write(f"{head}Content-Length: {MOST_BYTES + 1}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.write(bytes(MOST_BYTES + 1))  # a server that has answered waits a while for what was announced
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_only_holders_of_the_token_store_and_read(client: Client, execution_id: int) -> None:
    path = f"/api/internal/payloads/{NAME}?execution_id={execution_id}"
    async with client.session.put(path, data=BODY) as refused, client.session.get(path) as hidden:
        assert (refused.status, hidden.status) == (403, 403)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"result_kind": "ref"}, "bad_type"),
        ({"result_kind": "ref", "result_uri": 7}, "bad_type"),
        ({"result_kind": "refs", "result_uri": "payload:1/a"}, "bad_type"),
        ({"result_kind": "ref", "result_uri": "payload:1/a"}, "unknown_payload"),
        ({"result_kind": "ref", "result_uri": f"payload:1/{NAME}"}, "unknown_payload"),
        ({"result_kind": "ref", "result_uri": "s3://bucket/key"}, None),
        ({"result_kind": "data", "result_uri": "payload:1/a", "output": 1}, None),
    ],
)
async def test_results_that_refer_are_judged_one_by_one(
    client: Client, execution_id: int, result: dict[str, object], code: str | None
) -> None:
    (command,) = await client.claim()
    lease = {"command_id": command["command_id"], "lease_token": command["lease_token"]}
    answer = await client.settle({**lease, "status": "completed", **result})
    assert [refused["code"] for refused in answer.body["rejected"]] == ([code] if code else [])
    assert answer.body["settled"] == (code is None)


async def test_random_bytes_come_back_as_they_were_with_their_hash_as_tag(
    client: Client, execution_id: int
) -> None:
    body = os.urandom(300_000)
    path = f"{sha256(body).hexdigest()}?execution_id={execution_id}"
    await put(client, path, body)
    async with client.session.get(f"/api/internal/payloads/{path}", headers=client.headers) as response:
        assert response.headers["ETag"] == f'"{sha256(body).hexdigest()}"'
        assert await response.read() == body


async def test_only_so_many_bodies_are_taken_at_once_and_the_others_wait(
    client: Client, execution_id: int
) -> None:
    for _ in range(UPLOADS_AT_ONCE):
        await client.api.uploads.acquire()
    waiting = asyncio.create_task(put(client, f"{NAME}?execution_id={execution_id}", BODY))
    await eventually(lambda: has_waiters(client.api.uploads))
    assert await client.engine.value("select count(*) from playlog.payload") == 0
    client.api.uploads.release()
    assert (await waiting).status == 200


def has_waiters(uploads: asyncio.Semaphore) -> None:
    assert uploads._waiters
