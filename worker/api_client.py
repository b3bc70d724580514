"""The worker's side of `/commands/*` and `/logs`: one request, or one repeated until it is heard."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import aiohttp
import orjson
import structlog
import tenacity

from engine.errors import Invalid, PlaylogError, TooLarge, Unavailable
from worker import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.credentials import Token

_log = structlog.get_logger(__name__)

BASE = "/api/internal"
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 30.0
AWAY_SECONDS = 15.0
_LONGEST_PAUSE = 15.0
_REFUSALS = frozenset({400, 409, 415, 422})
_full_jitter = tenacity.wait_random_exponential(multiplier=0.2, max=_LONGEST_PAUSE)

Answer = dict[str, object]


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
        started = time.monotonic()
        try:
            status, retry_after, content = await self._send(route, orjson.dumps(body), seconds)
            if status != HTTPStatus.OK:
                raise _refusal(route, status, retry_after, content)
            answer = _object(route, content)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._failing_since = self._failing_since or started
            raise Unavailable(f"{route}: {type(error).__name__}: {error}") from error
        except Unavailable:
            self._failing_since = self._failing_since or started
            raise
        self._failing_since = None
        metrics.request_seconds(route).observe(time.monotonic() - started)
        return answer

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
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            wait=_pause,
            before_sleep=_report,
            reraise=True,
        ):
            with attempt:
                return await self.post(route, body(), seconds=seconds)
        raise Unavailable

    async def _send(self, route: str, data: bytes, seconds: float) -> tuple[int, str | None, bytes]:
        headers = {"Authorization": f"Bearer {self._token.read()}", "Content-Type": "application/json"}
        limit = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        async with self._session.post(
            self._url + route, data=data, headers=headers, timeout=limit, allow_redirects=False
        ) as response:
            return response.status, response.headers.get("Retry-After"), await response.read()


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
    if status in _REFUSALS:
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
