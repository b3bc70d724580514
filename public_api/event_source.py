"""Server-sent events: what a block looks like, and how it is written to a client that is slow or gone."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field

import orjson
import structlog
from aiohttp import web

from engine.errors import PlaylogError, Unavailable
from engine.runtime import metrics
from engine.runtime.http import REQUEST_ID, REQUEST_ID_KEY
from engine.runtime.loop import end

CONTENT_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
PING_SECONDS = 15.0
PING = b": ping\n\n"
RETRY_MS = (500, 2_500)
RETRY_AFTER_SECONDS = (1, 5)

_log = structlog.get_logger(__name__)

Source = AsyncGenerator[bytes, None]


class TooSlow(Exception):  # noqa: N818  # named as the fact it reports
    """The client does not take what there is for it."""


def block(data: object, *, event: str | None = None, place: str | None = None) -> bytes:
    """One event: its data as JSON, which is one line, after its name and the id to go on after."""
    name = b"" if event is None else b"event: %b\n" % event.encode()
    where = b"" if place is None else b"id: %b\n" % place.encode()
    return b"%b%bdata: %b\n\n" % (name, where, orjson.dumps(data))


def place_block(place: str) -> bytes:
    """No event, only the id to go on after."""
    return b"id: %b\n\n" % place.encode()


def hint() -> bytes:
    """How long to wait before connecting again: not everyone at once."""
    return b"retry: %d\n\n" % random.randint(*RETRY_MS)  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True, slots=True, eq=False)
class Admitted:
    """A request whose stream is counted; `over` ends it."""

    request: web.Request
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def route(self) -> str:
        """The route, as metrics name it."""
        resource = self.request.match_info.route.resource
        return "unmatched" if resource is None else resource.canonical


@dataclass(slots=True)
class EventSources:
    """The streams that this process has open, at most so many."""

    most: int
    write_seconds: float
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[Admitted] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def admitted(self, request: web.Request) -> Iterator[Admitted]:
        """Count a stream for the block; raises `Unavailable` when there are too many, or at the end."""
        if self.closing.is_set():
            raise Unavailable("the process is stopping", retry_after=1)
        if len(self._open) >= self.most and self._let_go() >= self.most:
            metrics.streams_refused.inc()
            after = random.randint(*RETRY_AFTER_SECONDS)  # noqa: S311 - spreads load, guards nothing
            raise Unavailable("too many streams are open", code="too_many_streams", retry_after=after)
        stream = Admitted(request)
        self._open.add(stream)
        metrics.streams_open.set(len(self._open))
        try:
            yield stream
        finally:
            self._open.discard(stream)
            metrics.streams_open.set(len(self._open))

    async def serve(
        self, stream: Admitted, source: Source, *, ping: Callable[[], bytes] = lambda: PING
    ) -> web.StreamResponse:
        """Write what the source yields until it ends, the client goes or is too slow, or all is stopped."""
        response = web.StreamResponse(headers=_headers(stream.request))
        try:
            await response.prepare(stream.request)
            await self._write(response, hint())
            await self._pump(stream, response, source, ping)
        except TooSlow:
            metrics.streams_dropped.labels(stream.route).inc()
            _log.info("stream.dropped", route=stream.route)
            if stream.request.transport is not None:
                stream.request.transport.abort()
        except ConnectionError:
            pass  # the client has gone, as clients do
        except PlaylogError as error:
            _log.info("stream.ended", route=stream.route, code=error.code)
        finally:
            await source.aclose()
        return response

    def close(self) -> None:
        """End every stream now; clients are told when to come again."""
        self.closing.set()
        for stream in self._open:
            stream.over.set()

    def _let_go(self) -> int:
        """Forget those whose clients have gone without a word, and count the others."""
        for stream in list(self._open):
            transport = stream.request.transport
            if transport is None or transport.is_closing():
                stream.over.set()
                self._open.discard(stream)
        return len(self._open)

    async def _pump(
        self, stream: Admitted, response: web.StreamResponse, source: Source, ping: Callable[[], bytes]
    ) -> None:
        over = asyncio.ensure_future(stream.over.wait())
        upcoming = asyncio.ensure_future(_next(source))
        try:
            while True:
                await asyncio.wait(
                    {over, upcoming}, timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if over.done():
                    await self._write(response, hint())
                    return
                is_ping = not upcoming.done()
                found = ping() if is_ping else upcoming.result()
                if found is None:
                    return
                await self._write(response, found)
                if not is_ping:
                    upcoming = asyncio.ensure_future(_next(source))
        finally:
            await end(over)
            await end(upcoming)

    async def _write(self, response: web.StreamResponse, found: bytes) -> None:
        try:
            async with asyncio.timeout(self.write_seconds):
                await response.write(found)
        except TimeoutError:
            raise TooSlow from None


async def _next(source: Source) -> bytes | None:
    return await anext(source, None)


def _headers(request: web.Request) -> dict[str, str]:
    return {
        "Content-Type": CONTENT_TYPE,
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
        REQUEST_ID: request[REQUEST_ID_KEY],
    }
