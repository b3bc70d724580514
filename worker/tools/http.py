"""Sends one HTTP request to a public or allow-listed address."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import orjson
from aiohttp.resolver import DefaultResolver

from engine.domain.handles import MOST_BYTES
from engine.language.tools import HttpInput, Scalar
from worker.tools.addresses import AddressPolicy, NotingResolver
from worker.tools.capture import readable
from worker.tools.contract import Tool, ToolContext, ToolFailed, read_input

if TYPE_CHECKING:
    from collections.abc import Mapping

RESPONSE_LIMIT = MOST_BYTES
_EXCERPT = 2 * 1024
_FIRST_ERROR_STATUS = 400
_REDIRECTS = 10
_CONNECT_SECONDS = 10.0


def open_session(policy: AddressPolicy) -> aiohttp.ClientSession:
    """Return the session every request shares: no cookies, no proxies, checked addresses."""
    connector = aiohttp.TCPConnector(
        limit=0,
        resolver=NotingResolver(DefaultResolver(), policy),
        socket_factory=policy.open_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
    )


def http_tool(session: aiohttp.ClientSession) -> Tool:
    """Return the tool: output `{status, headers, body}`, the body parsed when it says it is JSON.

    Fails with `http_status` (a status that is not accepted), `http_unreachable`, `timeout`,
    `not_allowed` (the address), `response_too_large` (above 16 MiB), `bad_response`, `validation`.
    """

    async def run(value: object, context: ToolContext) -> object:
        wanted = read_input(HttpInput, value)
        try:
            async with asyncio.timeout(wanted.timeout):
                return await _exchange(session, wanted, context)
        except TimeoutError as error:
            raise ToolFailed(
                "timeout", f"no response within {wanted.timeout or _CONNECT_SECONDS} s"
            ) from error
        except aiohttp.ClientError as error:
            raise _unreachable(error) from error
        except ValueError as error:
            raise ToolFailed("validation", f"the request cannot be sent: {error}") from error

    return run


async def _exchange(session: aiohttp.ClientSession, wanted: HttpInput, context: ToolContext) -> object:
    async with session.request(
        wanted.method,
        wanted.url,
        headers=_headers(wanted, context),
        params=_query(wanted.query),
        data=_body(wanted),
        max_redirects=_REDIRECTS,
    ) as response:
        content = await _read(response)
        if not _accepts(wanted, response.status):
            raise ToolFailed(
                "http_status",
                f"the server answered {response.status} {response.reason or ''}".rstrip(),
                status=response.status,
                details={"body": context.mask.text(readable(content))[:_EXCERPT]},
            )
        headers = {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}
        return {"status": response.status, "headers": headers, "body": _parsed(response, content)}


def _headers(wanted: HttpInput, context: ToolContext) -> dict[str, str]:
    headers = {name: str(value) for name, value in wanted.headers.items()}
    given = {name.lower() for name in headers}
    if context.traceparent and "traceparent" not in given:
        headers["traceparent"] = context.traceparent
    if "idempotency-key" not in given:
        headers["Idempotency-Key"] = context.idempotency_key
    if "content-type" not in given and (wanted.has_json or wanted.text is not None):
        headers["Content-Type"] = "application/json" if wanted.has_json else "text/plain; charset=utf-8"
    return headers


def _query(query: Mapping[str, Scalar | list[Scalar] | None]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        pairs += [(name, str(v).lower() if isinstance(v, bool) else str(v)) for v in values]
    return pairs


def _body(wanted: HttpInput) -> bytes | None:
    if wanted.has_json:
        return orjson.dumps(wanted.body)
    return None if wanted.text is None else wanted.text.encode()


def _accepts(wanted: HttpInput, status: int) -> bool:
    if wanted.expect is None:
        return status < _FIRST_ERROR_STATUS
    return status in (wanted.expect if isinstance(wanted.expect, list) else [wanted.expect])


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > RESPONSE_LIMIT:
            raise ToolFailed("response_too_large", f"the response is larger than {RESPONSE_LIMIT} bytes")
    return bytes(content)


def _parsed(response: aiohttp.ClientResponse, content: bytes) -> object:
    kind = response.content_type
    if kind != "application/json" and not kind.endswith("+json"):
        return readable(content)
    if not content:
        return None
    try:
        parsed: object = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ToolFailed(
            "bad_response", f"the response says it is JSON: {error}", status=response.status
        ) from None
    return parsed


def _unreachable(error: aiohttp.ClientError) -> ToolFailed:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PermissionError):
        return ToolFailed("not_allowed", f"{error.host}:{error.port}: {error.os_error}")
    if isinstance(error, aiohttp.NonHttpUrlClientError):
        return ToolFailed("not_allowed", f"the redirect does not lead to http or https: {error}")
    if isinstance(error, aiohttp.InvalidURL):
        return ToolFailed("validation", f"with.url: {error}")
    if isinstance(error, aiohttp.TooManyRedirects):
        return ToolFailed("http_unreachable", f"more than {_REDIRECTS} redirects")
    return ToolFailed("http_unreachable", f"{type(error).__name__}: {error}".rstrip(": "))
