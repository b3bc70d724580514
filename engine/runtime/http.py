"""HTTP servers as every API of ours has them: one middleware, strict JSON, limits on size and time."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias

import orjson
import structlog
from aiohttp import web

from engine import errors
from engine.runtime import metrics
from engine.runtime.database import classify
from engine.runtime.http_server import Server, start
from engine.runtime.problems import problem, problem_for_status, unsupported_media_type

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from engine.runtime.settings import HttpSettings

Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"

REQUEST_ID = "X-Request-Id"
REQUEST_ID_KEY: web.RequestKey[str] = web.RequestKey("request_id", str)

_log = structlog.get_logger(__name__)
_HTTP: web.AppKey[HttpSettings] = web.AppKey("http_settings")
_PRINTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.-]+\+)?json", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"
_STATUS_CLASS = 100


def make_app(routes: Iterable[web.AbstractRouteDef], settings: HttpSettings) -> web.Application:
    """Build an application whose every error, also of the HTTP layer, is a problem document."""
    app = web.Application(client_max_size=settings.body_limit, middlewares=[_middleware])
    app[_HTTP] = settings
    app.add_routes(routes)
    return app


async def serve(app: web.Application, port: int) -> Server:
    """Listen on the settings' host and the port (0 takes a free one) until the server is closed."""
    return await start(app, port, app[_HTTP])


async def read_json(request: web.Request) -> object:
    """Read the body as one JSON document; an empty body is None.

    Raises:
        Malformed: not UTF-8, a byte order mark, not one JSON document, NaN, too deep; or 415.
        TooLarge: more bytes than body_limit.
    """
    body = await read_body(request)
    if not body:
        return None
    if _JSON_TYPE.fullmatch(request.content_type) is None or "Content-Type" not in request.headers:
        raise unsupported_media_type()
    return parse_json(body)


def parse_json(body: bytes) -> object:
    """Parse one JSON document strictly.

    Raises:
        Malformed: with line and column, never with the text itself.
    """
    if body.startswith(_BOM):
        raise errors.Malformed("the body starts with a byte order mark")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.Malformed(
            f"the body is no JSON document (line {error.lineno}, column {error.colno})"
        ) from None


async def read_body(request: web.Request) -> bytes:
    """Read the raw body within body_limit and body_timeout.

    Raises:
        TooLarge: more bytes than body_limit.
        Malformed: the body ended early or took too long (408).
    """
    settings = request.config_dict[_HTTP]
    length = request.content_length
    if length is not None and length > settings.body_limit:
        raise _too_large(settings.body_limit)
    try:
        async with asyncio.timeout(settings.body_timeout):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(settings.body_limit) from None
    except TimeoutError:
        status = int(HTTPStatus.REQUEST_TIMEOUT)
        raise errors.Malformed("the body took too long to arrive", code="too_slow", status=status) from None
    except (web.RequestPayloadError, ConnectionError):
        raise errors.Malformed("the body ended early") from None


def json_response(
    document: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with a JSON document; integers beyond 64 bits and non-string keys are a programming error."""
    return web.Response(
        body=orjson.dumps(document), status=status, headers=headers, content_type="application/json"
    )


@web.middleware
async def _middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    request_id = _request_id(request)
    request[REQUEST_ID_KEY] = request_id
    started = time.perf_counter()
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = await _answer(request, handler, request_id)
        if not response.prepared:
            response.headers[REQUEST_ID] = request_id
        _observe(request, response.status, time.perf_counter() - started)
    return response


async def _answer(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return problem(unsupported_media_type(), request_id=request_id)
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _http_exception(error, request_id)
    except Exception as error:
        if request.transport is None or request.writer.output_size > 0:
            raise  # a stream that has begun, or a client that has gone: all that is left is to hang up
        known = classify(error)
        _log_failure(error, known)
        return problem(known, request_id=request_id)


def _log_failure(error: Exception, known: errors.PlaylogError) -> None:
    if error is not known or known.code == errors.UNMAPPED:
        _log.error("http.crashed", code=known.code, exc_info=error)
    elif known.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("http.failed", code=known.code, detail=known.detail)


def _http_exception(error: web.HTTPException, request_id: str) -> web.Response:
    if error.status < HTTPStatus.BAD_REQUEST:
        raise error
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return problem_for_status(error.status, request_id=request_id, headers=kept)


def _too_large(limit: int) -> errors.TooLarge:
    return errors.TooLarge(f"the body is larger than {limit} bytes", limit=limit)


def _request_id(request: web.Request) -> str:
    given = request.headers.get(REQUEST_ID, "")
    return given if _PRINTABLE_ID.fullmatch(given) else uuid.uuid4().hex


def _observe(request: web.Request, status: int, seconds: float) -> None:
    resource = request.match_info.route.resource
    route = "unmatched" if resource is None else resource.canonical
    method = request.method if resource is not None else "ANY"
    metrics.http_requests.labels(route, method, f"{status // _STATUS_CLASS}xx").inc()
    metrics.http_seconds.labels(route, method).observe(seconds)
    _log.debug("http.request", route=route, method=method, status=status, ms=round(seconds * 1000, 3))
