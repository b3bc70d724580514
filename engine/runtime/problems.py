"""Errors as `application/problem+json` (RFC 9457), without a byte of what the client or a server said."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from engine import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "application/problem+json"

_HTTP_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("malformed", "The request cannot be read."),
    404: ("not_found", "There is no such route."),
    405: ("method_not_allowed", "The route does not take this method."),
    408: ("too_slow", "The request took too long to arrive."),
    411: ("length_required", "The request needs a Content-Length."),
    413: ("too_large", "The request body is larger than its limit."),
    414: ("too_large", "The request line is longer than its limit."),
    415: ("unsupported_media_type", "The body must be plain JSON: application/json, not encoded."),
    417: ("malformed", "The expectation of the request cannot be met."),
    431: ("too_large", "The headers are larger than their limit."),
}


def problem(error: errors.PlaylogError, *, request_id: str | None = None) -> web.Response:
    """Build the answer for one of our errors; `data` may carry `retry_after` (s), `errors` and `headers`."""
    data = dict(error.data)
    status = int(data.pop("status", error.status))
    headers = dict(data.pop("headers", {}))
    retry_after = data.pop("retry_after", None)
    if retry_after is not None:
        headers["Retry-After"] = str(max(0, math.ceil(float(retry_after))))
    title = (type(error).__doc__ or "").partition("\n")[0]
    return _answer(status, title, error.detail, error.code, request_id, headers, data)


def problem_for_status(
    status: int, *, request_id: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Build the answer for an error of the HTTP layer: a status outside the table is a plain malformed."""
    code, detail = _HTTP_ERRORS.get(status, ("malformed", "The request cannot be served."))
    return _answer(status, HTTPStatus(status).phrase, detail, code, request_id, dict(headers or {}), {})


def unsupported_media_type() -> errors.Malformed:
    """Return the error for a body that is not plain JSON (415)."""
    code, detail = _HTTP_ERRORS[HTTPStatus.UNSUPPORTED_MEDIA_TYPE]
    return errors.Malformed(detail, code=code, status=int(HTTPStatus.UNSUPPORTED_MEDIA_TYPE))


def _answer(  # noqa: PLR0913, PLR0917 - the members of a problem document, in their order
    status: int,
    title: str,
    detail: str,
    code: str,
    request_id: str | None,
    headers: Mapping[str, str],
    extra: Mapping[str, object],
) -> web.Response:
    document: dict[str, object] = {
        "type": f"urn:playlog:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": f"urn:playlog:request:{request_id or 'unread'}",
        "code": code,
        **extra,
    }
    body = orjson.dumps(document, default=str)
    return web.Response(
        body=body, status=status, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store", **headers}
    )
