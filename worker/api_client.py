"""The worker's side of the internal API: one request, or one repeated until it is heard."""

from __future__ import annotations

import io
import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, TypeVar

import aiohttp
import orjson
import structlog
import tenacity

from engine.errors import Invalid, PlaylogError, TooLarge, Unavailable
from worker import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from engine.domain.handles import MapKey, PayloadKey
    from worker.credentials import Token

_log = structlog.get_logger(__name__)

BASE = "/api/internal"
PAYLOADS = "/payloads"
MAPS = "/maps"
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 30.0
AWAY_SECONDS = 15.0
_LONGEST_PAUSE = 15.0
_LARGE_BODY = 512 * 1024
_REFUSALS = frozenset({400, 409, 415, 422})
_GONE = frozenset({"unknown_execution", "unknown_payload", "purged"})
_full_jitter = tenacity.wait_random_exponential(multiplier=0.2, max=_LONGEST_PAUSE)

Answer = dict[str, object]
T = TypeVar("T")


class InternalApi:
    """Speaks JSON to the internal API with the current token."""

    def __init__(self, url: str, token: Token) -> None:
        self._url = url.rstrip("/") + BASE
        self._token = token
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=16, keepalive_timeout=60),
        )
        self._failing_since: float | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, route: str, body: object, *, seconds: float = REQUEST_SECONDS) -> Answer:
        """Send one request and return the answer's object.

        Raises:
            TooLarge, Invalid: the API refuses this content for good.
            Unavailable: everything else, a wrong token included; `data["retry_after"]` when it was said.
        """
        with self._watched(route):
            return _object(route, await self._send("POST", route, orjson.dumps(body), seconds))

    async def store_payload(self, key: PayloadKey, data: bytes) -> None:
        """Keep bytes for an execution, repeated until the API answers; raises `TooLarge` and `Invalid`."""

        async def store() -> Answer:
            with self._watched(PAYLOADS):
                return _object(PAYLOADS, await self._send("PUT", _place_of(key), data, REQUEST_SECONDS))

        await self._insist(store)

    async def fetch_payload(self, key: PayloadKey) -> bytes:
        """Return the bytes, asked for until the API answers; raises `Invalid` when there are none."""

        async def fetch() -> bytes:
            with self._watched(PAYLOADS):
                return await self._send("GET", _place_of(key), None, REQUEST_SECONDS)

        return await self._insist(fetch)

    async def fetch_map(self, key: MapKey, after: int) -> bytes:
        """Return a page of the events that tell what a map gave, asked for until the API answers.

        Raises `Invalid` where there is no such map.
        """
        path = f"{MAPS}/{key.uri.removeprefix('map:')}?after={after}"

        async def fetch() -> bytes:
            with self._watched(MAPS):
                return await self._send("GET", path, None, REQUEST_SECONDS)

        return await self._insist(fetch)

    async def fault(self) -> str | None:
        """Return why the API counts as away: no request has succeeded for a while."""
        away = time.monotonic() - self._failing_since if self._failing_since is not None else 0.0
        return f"no answer for {away:.0f} s" if away > AWAY_SECONDS else None

    async def persist(
        self, route: str, body: Callable[[], object], *, seconds: float = REQUEST_SECONDS
    ) -> Answer:
        """Repeat a request until the API answers it, with full jitter; `body` is built anew each time.

        Raises `TooLarge` and `Invalid` only.
        """
        return await self._insist(lambda: self.post(route, body(), seconds=seconds))

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            wait=_pause,
            before_sleep=_report,
            reraise=True,
        ):
            with attempt:
                return await ask()
        raise Unavailable

    @contextmanager
    def _watched(self, route: str) -> Iterator[None]:
        """Note how an exchange went; whatever is no answer becomes `Unavailable`."""
        started = time.monotonic()
        try:
            yield
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._failing_since = self._failing_since or started
            raise Unavailable(f"{route}: {type(error).__name__}: {error}") from error
        except Unavailable:
            self._failing_since = self._failing_since or started
            raise
        self._failing_since = None
        metrics.request_seconds(route).observe(time.monotonic() - started)

    async def _send(self, method: str, path: str, data: bytes | None, seconds: float) -> bytes:
        content_type = "application/json" if method == "POST" else "application/octet-stream"
        headers = {"Authorization": f"Bearer {self._token.read()}", "Content-Type": content_type}
        limit = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        # Large bytes as they are would be written in one go, and hold up everything else meanwhile.
        body = io.BytesIO(data) if data is not None and len(data) > _LARGE_BODY else data
        async with self._session.request(
            method, self._url + path, data=body, headers=headers, timeout=limit, allow_redirects=False
        ) as response:
            content = await response.read()
        if response.status != HTTPStatus.OK:
            raise _refusal(path, response.status, response.headers.get("Retry-After"), content)
        return content


def _place_of(key: PayloadKey) -> str:
    return f"{PAYLOADS}/{key.sha256.hex()}?execution_id={key.execution_id}"


def _object(route: str, content: bytes) -> Answer:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Unavailable(f"{route}: the answer is not JSON") from error
    if not isinstance(answer, dict):
        raise Unavailable(f"{route}: the answer is not an object")
    return answer


def _refusal(route: str, status: int, retry_after: str | None, content: bytes) -> PlaylogError:
    try:
        problem = orjson.loads(content)
        code, detail = str(problem["code"]), f"{route}: {status}: {problem.get('detail', '')}"
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        code, detail = "unknown", f"{route}: {status}"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(detail, code=code)
    if status in _REFUSALS or code in _GONE:
        return Invalid(detail, code=code)
    seconds = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
    return Unavailable(detail, code=code, retry_after=seconds)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.data.get("retry_after") if isinstance(error, PlaylogError) else None
    # Never earlier than asked, and not all workers at the same moment.
    return (float(asked) if asked else 0.0) + _full_jitter(state)


def _report(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause = round(state.next_action.sleep, 2) if state.next_action else None
    _log.warning("worker.api_away", error=str(error), attempt=state.attempt_number, pause_seconds=pause)
