"""What goes wrong between a client and the API: its problems, and answers that are none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp
import orjson
from pydantic import JsonValue


class ApiError(Exception):
    """The API answered with a problem document."""

    def __init__(self, status: int, problem: Mapping[str, JsonValue]) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
        super().__init__(self.detail)


class ApiUnreachable(Exception):  # noqa: N818  # named as the fact it reports
    """The API did not answer, or not as an API would."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"{url}: {reason}")


def document_of(url: str, status: int, body: bytes) -> JsonValue:
    """The document of an answer; raises `ApiError` for a problem, `ApiUnreachable` for anything else."""
    try:
        document: JsonValue = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ApiUnreachable(url, f"status {status} without JSON: this is not a playlog API") from None
    if status < HTTPStatus.BAD_REQUEST:
        return document
    raise ApiError(status, document if isinstance(document, dict) else {})


def reason_of(error: Exception) -> str:
    """Why no answer came, in a few words."""
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return (os.strerror(number) if number else str(error.os_error)).lower()
    return str(error) or type(error).__name__
