"""The client of the internal API, for what operators do from the command line."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping

import aiohttp
import orjson
from pydantic import JsonValue

from engine.errors import Misconfigured, Unavailable
from playlog.problems import ApiUnreachable, document_of, reason_of

BASE = "/api/internal"
SECONDS = 600.0
"""A purge may take its time."""
CONNECT_SECONDS = 5.0

Document = dict[str, JsonValue]


async def ask(
    url: str,
    token: str | None,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: object = None,
) -> Document:
    """One request and the object it answers.

    Raises `Misconfigured` without a token, `ApiError` when the API says no and `Unavailable` when nobody
    answers.
    """
    if not token:
        raise Misconfigured("PLAYLOG_INTERNAL_API_TOKEN is not set; operators need it")
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "X-Playlog-Actor": _actor(),
    }
    data = None if body is None else orjson.dumps(body)
    timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=CONNECT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.request(method, f"{url}{BASE}{path}", params=query, data=data) as answer,
        ):
            document = document_of(url, answer.status, await answer.read())
    except ApiUnreachable as error:
        raise _away(url, error.reason) from None
    except TimeoutError:
        raise _away(url, f"no answer within {SECONDS:g} s") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise _away(url, reason_of(error)) from None
    return document if isinstance(document, dict) else {}


def _actor() -> str:
    """Who asks, for the audit: the user and the host, as far as they can be told."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    name = f"{user}@{socket.gethostname()}"
    return "".join(each for each in name if each.isascii() and each.isprintable())[:128]


def _away(url: str, reason: str) -> Unavailable:
    return Unavailable(
        f"the internal API at {url} cannot be used: {reason}; name another one by PLAYLOG_INTERNAL_API_URL"
    )
