"""Bad input: a catalogued problem each, nothing stored, and the next good request works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tests.support.public_api import JSON, PublicApi, running_public_api

STORED = ("execution", "event", "outbox", "idempotency", "playbook_version")


@pytest.fixture
async def api(api: PublicApi) -> AsyncIterator[PublicApi]:
    """An API of which every test asks only what must change nothing."""
    before = {table: await api.rows(table) for table in STORED}
    yield api
    assert {table: await api.rows(table) for table in STORED} == before
    assert (await api.post("/executions", {"playbook": "tests/one"})).status == 201


def check(answer: Any, status: int, code: str | None = None) -> Any:
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem = answer.json
    assert problem["status"] == status
    assert problem["type"] == f"urn:playlog:problem:{problem['code']}"
    assert code is None or problem["code"] == code, problem
    assert b"Traceback" not in answer.body
    return problem


BAD_IDS = [
    "0", "-1", "9223372036854775808", "99999999999999999999", "1e3", "%201", "1%20", "1_000", "1.0", "+1",
    "%D9%A1%D9%A2", "%00", "1%00", "0x1", "null", "id", "%FF", "%F0%9F%92%A9",
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["", "/wait", "/steps", "/events", "/stream", "/logs"])
async def test_what_is_no_id_is_no_execution(api: PublicApi, suffix: str) -> None:
    for bad in BAD_IDS:
        check(await api.get(f"/executions/{bad}{suffix}"), 404, "unknown_execution")
        check(await api.post(f"/executions/{bad}/cancel"), 404, "unknown_execution")
        check(await api.post(f"/executions/{bad}/signals/x"), 404, "unknown_execution")


BAD_QUERIES = {
    "/executions": [
        ("limit=0", 422), ("limit=-1", 422), ("limit=201", 422), ("limit=1000000000", 422),
        ("limit=abc", 422), ("limit=1&limit=2", 422), ("limit=", 422), ("limit=1e1", 422),
        ("limit=1_0", 422), ("limit=%201", 422), ("limit=%D9%A1", 422), ("limit=1.0", 422),
        ("limit=99999999999999999999", 422), ("status=done", 422), ("status=RUNNING", 422), ("status=", 422),
        ("order=up", 422), ("label=", 422), ("label=%3Da", 422), ("search=abc", 422), ("search=0", 422),
        ("search=%00", 422), ("playbook=%00", 422), ("label=a%00", 422), ("label=a%3D%00", 422),
        ("playbook=" + "x" * 201, 422), ("cursor=x", 400), ("cursor=", 400), ("cursor=%00", 400),
        ("cursor=" + "A" * 500, 400), ("cursor=W10", 400), ("cursor=%D9%A1", 400),
        ("started_after=now", 422), ("started_after=infinity", 422),
        ("started_after=2026-02-30T00:00:00Z", 422),
        ("started_after=2026-01-01", 422), ("started_after=2026-01-01T00:00:00", 422),
        ("started_after=2026-01-01T00:00:00%2B25:00", 422), ("started_after=2026-01-01T00:00:60Z", 422),
        ("started_after=2026-01-01T00:00:00+01:00", 422), ("started_after=1767225600", 422),
        ("started_after=0000-01-01T00:00:00Z", 422), ("started_after=0001-01-01T00:00:00%2B01:00", 422),
        ("started_before=9999-12-31T23:59:59-01:00", 422), ("started_after=2026-01-01T24:00:01Z", 422),
        ("started_after=2026-02-01T00:00:00Z&started_before=2026-01-01T00:00:00Z", 422),
        ("unknown=1", 422), ("Limit=1", 422), ("=1", 422),
    ],
    "/executions/1": [
        ("wait=-1", 422), ("wait=NaN", 422), ("wait=31", 422), ("wait=inf", 422), ("wait=1e1", 422),
        ("wait=30.001", 422), ("wait=%202", 422), ("wait=", 422), ("min_version=-1", 422),
        ("min_version=2147483648", 422), ("min_version=1.5", 422), ("min_version=x", 422), ("limit=1", 422),
    ],
    "/executions/1/wait": [("timeout_seconds=31", 422), ("timeout_seconds=NaN", 422), ("wait=1", 422)],
    "/executions/1/events": [
        ("limit=0", 422), ("limit=501", 422), ("after_version=-1", 422), ("after_version=2147483648", 422),
        ("types=", 422), ("types=a,,b", 422), ("types=%00", 422),
    ],
    "/executions/1/stream": [
        ("after_version=-1", 422), ("types=", 422), ("limit=1", 422), ("follow=", 422), ("types=%00", 422),
    ],
    "/executions/1/logs": [
        ("limit=0", 422), ("limit=1001", 422), ("follow=yes", 422), ("attempt=-1", 422), ("attempt=x", 422),
        ("step=%00", 422), ("after=x", 400), ("after=", 400),
    ],
    "/events/stream": [
        ("playbook=%00", 422), ("types=,", 422), ("status=%0A", 422), ("after=1-1-1", 422), ("limit=1", 422),
    ],
    "/playbooks": [
        ("paused=yes", 422), ("paused=1", 422), ("limit=0", 422), ("tag=%00", 422), ("search=%0A", 422),
        ("cursor=x", 400), ("cursor=%5B%5D", 400), ("name=x", 422),
    ],
    "/playbooks/tests/one": [("version=0", 422), ("version=2147483648", 422), ("version=x", 422)],
    "/playbooks/tests/one/versions": [("limit=-1", 422), ("cursor=x", 400), ("version=1", 422)],
}  # fmt: skip


@pytest.mark.parametrize("path", BAD_QUERIES)
async def test_a_query_is_taken_literally_or_not_at_all(api: PublicApi, path: str) -> None:
    for query, status in BAD_QUERIES[path]:
        problem = check(await api.get(f"{path}?{query}"), status)
        if problem["code"] == "invalid_query":
            assert problem["errors"][0]["loc"][0] == "query", query


async def test_an_unknown_parameter_is_told_the_nearest_known_one(api: PublicApi) -> None:
    problem = check(await api.get("/executions?lmit=1&statsu=x"), 422, "invalid_query")
    assert [error["msg"] for error in problem["errors"]] == [
        'unknown parameter, did you mean "limit"?',
        'unknown parameter, did you mean "status"?',
    ]
    problem = check(await api.post("/executions", {"playbok": "a", "playbook": "b"}), 422, "invalid_body")
    assert problem["detail"] == 'playbok: unknown name, did you mean "playbook"?'
    check(await api.post("/executions?dry_run", {"playbook": "tests/one"}), 422, "invalid_query")


def start(**more: Any) -> bytes:
    return orjson.dumps({"playbook": "tests/one", **more})


def nested(depth: int) -> bytes:
    return b'{"playbook": "tests/one", "inputs": {"name": ' + b"[" * depth + b"]" * depth + b"}}"


BAD_DOCUMENTS = [
    (b"", 422), (b" ", 400), (b"{", 400), (b'{"playbook": "tests/one",}', 400), (b"{}{}", 400),
    (b"\xef\xbb\xbf{}", 400), (start().decode().encode("utf-16"), 400), (b'{"playbook": "\xff"}', 400),
    (b'{"playbook": "\xc0\xaf"}', 400), (b'{"playbook": "a\0"}', 400),
    (b'{"playbook": "tests/one", "inputs": {"name": "\\u0000"}}', 422),
    (b'{"playbook": "tests/one", "inputs": {"\\u0000": 1}}', 422),
    (b'{"playbook": "tests/one", "key": "\\ud800"}', 400), (b'{"playbook": NaN}', 400),
    (b'{"playbook": Infinity}', 400), (b'{"playbook": 1e400}', 400),
    (b'{"playbook": "tests/one", "inputs": {"name": 18446744073709551615}}', 422),
    (b'{"playbook": "tests/one", "version": 9223372036854775808}', 422),
    (b'{"playbook": "tests/one", "version": ' + b"1" * 30 + b"}", 422),
    (b'{"playbook": "tests/one", "version": ' + b"1" * 5000 + b"}", 400),
    (b'{"playbook": "tests/one", "playbook": "tests/one"}', 400),
    (b'{"playbook": "tests/one", "inputs": {"name": "a", "name": "b"}}', 400),
    (nested(63), 422), (nested(300), 422), (nested(1025), 400), (nested(100_000), 400),
    (b'{"' + b"k" * 1_000_000 + b'": 1}', 413), (orjson.dumps(dict.fromkeys(map(str, range(200_000)))), 413),
    (b"[" + b"1," * 999_999 + b"1]", 413), (start(inputs={"name": "x" * 262_144}), 413),
    (b'"text"', 422), (b"3", 422), (b"[]", 422), (b"true", 422),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BAD_DOCUMENTS)))
async def test_a_document_that_is_not_strict_json_is_refused(api: PublicApi, number: int) -> None:
    body, status = BAD_DOCUMENTS[number]
    check(await api.post("/executions", data=body, headers=JSON), status)


BAD_ORDERS: list[dict[str, Any]] = [
    {"playbook": None}, {"playbook": 3}, {"playbook": ""}, {"playbook": "x" * 201}, {"playbook": "a\n"},
    {"version": 0}, {"version": -1}, {"version": "1"}, {"version": True}, {"version": 1.0},
    {"version": 2**31}, {"inputs": None}, {"inputs": []}, {"inputs": "x"}, {"key": ""}, {"key": "k" * 201},
    {"key": 7}, {"key": "a\tb"}, {"labels": []}, {"labels": {"a": 1}}, {"labels": {"": "a"}},
    {"labels": {"a": "x" * 201}}, {"labels": {str(n): "x" for n in range(51)}}, {"labels": {"a": None}},
    {"deadline": 0}, {"deadline": -1}, {"deadline": "soon"}, {"deadline": ""}, {"deadline": "11000d"},
    {"deadline": 1e300}, {"deadline": True}, {"deadline": "-1s"}, {"priority": 101}, {"priority": "high"},
    {"priority": True}, {"__proto__": {}}, {"idempotency_key": "x"},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BAD_ORDERS)))
async def test_an_order_against_the_rules_is_refused(api: PublicApi, number: int) -> None:
    problem = check(await api.post("/executions", data=start(**BAD_ORDERS[number]), headers=JSON), 422)
    assert problem["code"] == "invalid_body"
    assert problem["errors"][0]["loc"][:2] == ["body", next(iter(BAD_ORDERS[number]))]


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "ümlaut", "tab\tbed"])
async def test_an_idempotency_key_is_short_printable_text(api: PublicApi, key: str) -> None:
    answer = await api.post("/executions", {"playbook": "tests/one"}, headers={"Idempotency-Key": key})
    check(answer, 422, "bad_idempotency_key")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": "application/octet-stream"},
        {"Content-Type": ""},
    ],
)
async def test_other_content_types_are_refused(api: PublicApi, headers: dict[str, str]) -> None:
    check(await api.post("/executions", data=start(), headers=headers), 415, "unsupported_media_type")
    check(await api.post("/playbooks", data=b"playbook: a", headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("name", ["%00", "%20", "a%20b", ".a", "x" * 129, "%C3%BC"])
async def test_a_signal_has_a_plain_name(api: PublicApi, name: str) -> None:
    check(await api.post(f"/executions/1/signals/{name}"), 422, "invalid_name")


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b'{"source": 3}', 422),
        ("application/json", b'{"source": "a", "name": "b"}', 422),
        ("application/json", b'{"source": ""}', 422),
        ("application/json", b"null", 422),
        ("application/json", b"", 400),
        ("application/yaml", b"", 422),
        ("application/yaml", b"\xff\xfe", 422),
        ("application/yaml", b"a: \xc0\xaf", 422),
        ("application/yaml", b"a: &a [*a, *a]", 422),
        ("application/yaml", b"!!python/object/apply:os.system [id]", 422),
        ("application/yaml", b"playbook: [" * 5000, 422),
        ("application/yaml", b"x" * (2**20 + 1), 422),
    ],
)
async def test_a_bad_source_is_refused(api: PublicApi, content_type: str, body: bytes, status: int) -> None:
    check(await api.post("/playbooks", data=body, headers={"Content-Type": content_type}), status)


async def test_other_methods_and_paths_are_problems_too(api: PublicApi) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/executions/", 404),
        ("GET", "/executions/by-key/", 404),
        ("GET", "/executions/by-key/%00", 404),
        ("GET", "/executions/by-key/" + "k" * 201, 404),
        ("DELETE", "/executions/1", 405),
        ("TRACE", "/executions", 405),
        ("PUT", "/playbooks", 405),
    ):
        check(await api.call(method, path), status)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "rebound.example"}, "foreign_host"),
        ({"Host": "169.254.169.254"}, "foreign_host"),
        ({"Origin": "https://evil.example"}, "foreign_origin"),
        ({"Origin": "null"}, "foreign_origin"),
        ({"Origin": "http://127.0.0.1:1"}, "foreign_origin"),
    ],
)
async def test_a_web_page_is_not_let_in(api: PublicApi, headers: dict[str, str], code: str) -> None:
    check(await api.post("/executions", {"playbook": "tests/one"}, headers=headers), 403, code)


@pytest.mark.parametrize(
    "host", [b"", b"[", b"a b", b"\xff", b"127.0.0.1:99999999", b"127.0.0.1:x", b"%00", b"[::1"]
)
async def test_a_bad_host_is_a_problem_and_no_crash(api: PublicApi, host: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(b"GET /api/v1/executions HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.split(b" ", 2)[1] in {b"400", b"403"}, answer


async def test_without_a_database_every_route_says_so(database_url: str) -> None:
    async with running_public_api(database_url) as api:
        execution_id = 7
        await api.pool.close()
        for method, path in (
            ("GET", "/executions"),
            ("GET", f"/executions/{execution_id}"),
            ("GET", f"/executions/{execution_id}/wait"),
            ("GET", "/playbooks"),
        ):
            check(await api.call(method, path), 503, "database_away")
