"""Nobody gets in without a token, and no refusal hints at the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.support.internal_api import Client, serving

if TYPE_CHECKING:
    from pathlib import Path

ROUTE = "/api/internal/outbox/pending-count"


async def status(client: Client, *values: str, path: str = ROUTE) -> int:
    headers = [("Authorization", value) for value in values]
    async with client.session.get(path, headers=headers) as response:
        problem = await response.json(content_type=None)
        assert "secret" not in str(problem)
        return response.status


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), 403),
        (("Basic secret",), 403),
        (("Bearer",), 403),
        (("Bearer ",), 403),
        (("Bearer  secret",), 403),
        (("secret",), 403),
        (("Bearer wrong",), 403),
        (("Bearer secre",), 403),
        (("Bearer secrett",), 403),
        (("Bearer secret,other",), 403),
        (("Bearer secret x",), 403),
        (("Bearer secrét",), 403),
        (("Bearer " + "x" * 8_000,), 403),
        (("Bearer secret", "Bearer secret"), 403),
        (("Bearer secret",), 200),
        (("bearer secret",), 200),
        (("BEARER other",), 200),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_the_table_of_headers(database_url: str, values: tuple[str, ...], expected: int) -> None:
    async with serving(database_url, token="secret, other") as client:
        assert await status(client, *values) == expected


async def test_a_latin_1_byte_in_the_header_is_refused(database_url: str) -> None:
    async with serving(database_url) as client:
        port = client.session._base_url.port if client.session._base_url else 0
        answer = await raw(port or 0, b"Authorization: Bearer a-tok\xe9n")
    assert answer.startswith(b"HTTP/1.1 403")


async def raw(port: int, header: bytes) -> bytes:
    import asyncio  # noqa: PLC0415

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\nConnection: close\r\n\r\n" % (ROUTE.encode(), header))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("token", [None, "", "  ", " , "])
async def test_without_a_configured_token_everyone_is_told_which_setting_lacks(
    database_url: str, token: str | None
) -> None:
    async with serving(database_url, token=token) as client:
        answer = await client.get("/outbox/pending-count")
    assert answer.status == 503
    assert "PLAYLOG_INTERNAL_API_TOKEN" in answer.body["detail"]


async def test_a_token_in_the_query_an_unknown_path_and_a_traversal_open_nothing(
    database_url: str,
) -> None:
    async with serving(database_url, token="secret") as client:
        for path in (f"{ROUTE}?token=secret", "/api/internal/nothing", "/", "/livez/../api/internal/workers"):
            assert await status(client, path=path) == 403
        assert await status(client, "Bearer secret", path="/api/internal/nothing") == 404
        async with client.session.get("/livez") as response:
            assert response.status == 200


async def test_a_file_of_tokens_is_rotated_emptied_removed_and_swapped_without_a_restart(
    database_url: str, tmp_path: Path
) -> None:
    file, mounted = tmp_path / "token", tmp_path / "mounted"
    mounted.symlink_to(file)
    file.write_text("first\n")
    async with serving(database_url, token=None, token_file=mounted) as client:
        assert await status(client, "Bearer first") == 200
        file.write_text("second, first\nthird")
        for token in ("first", "second", "third"):
            assert await status(client, f"Bearer {token}") == 200
        other = tmp_path / "other"
        other.write_text("fourth")
        swapped = tmp_path / "swapped"
        swapped.symlink_to(other)
        swapped.replace(mounted)
        assert await status(client, "Bearer fourth") == 200
        assert await status(client, "Bearer first") == 403
        other.write_text("")
        assert await status(client, "Bearer fourth") == 503
        other.write_text("fifth")
        assert await status(client, "Bearer fifth") == 200
        other.unlink()
        assert await status(client, "Bearer fifth") == 503


async def test_a_refused_request_is_a_problem_document(database_url: str) -> None:
    async with (
        serving(database_url) as client,
        aiohttp.ClientSession() as stranger,
        stranger.post(f"{client.session._base_url}/api/internal/outbox/claim", data=b"{") as response,
    ):
        assert response.status == 403
        assert response.content_type == "application/problem+json"
        assert (await response.json(content_type=None))["code"] == "forbidden"
