"""The listening side of aiohttp, with its gaps closed: bounded connections, no error page of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from engine import errors
from engine.runtime import metrics
from engine.runtime.problems import problem, problem_for_status

if TYPE_CHECKING:
    import asyncio

    from engine.runtime.settings import HttpSettings

_log = structlog.get_logger(__name__)
_SHUTDOWN_SECONDS = 10.0
_LINGER_SECONDS = 10.0
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)
_BAD_REQUEST = 400
_SERVER_ERROR = 500


class Server:
    """A listening application."""

    def __init__(self, runner: _Runner) -> None:
        self._runner = runner

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening and let requests under way finish, for at most 10 s."""
        await self._runner.cleanup()


async def start(app: web.Application, port: int, settings: HttpSettings) -> Server:
    """Listen; a connection that sends no complete headers for keepalive_timeout seconds is closed."""
    runner = _Runner(app, settings)
    await runner.setup()
    await web.TCPSite(runner, settings.host, port, reuse_address=True).start()
    return Server(runner)


class _Runner(web.AppRunner):
    __slots__ = ("_settings",)

    def __init__(self, app: web.Application, settings: HttpSettings) -> None:
        super().__init__(app, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._settings = settings

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self._settings)


class _Server(web.Server):
    def __init__(self, made: web.Server, settings: HttpSettings) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory)
        self._settings = settings

    def __call__(self) -> web.RequestHandler:
        return _Connection(
            self,
            loop=self._loop,
            keepalive_timeout=self._settings.keepalive_timeout,
            lingering_time=min(_LINGER_SECONDS, self._settings.body_timeout),
        )

    def is_full(self) -> bool:
        return len(self._connections) > self._settings.max_connections


class _Connection(web.RequestHandler):
    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if isinstance(self._manager, _Server) and self._manager.is_full() and self.transport is not None:
            metrics.http_refused_connections.inc()
            self.transport.write(_FULL)
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = _SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature; it echoes what the client sent
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            raise exc
        if status >= _SERVER_ERROR:
            _log.error("http.connection_failed", status=status, exc_info=exc)
            response = problem(errors.PlaylogError())
        else:
            _log.debug("http.unreadable_request", status=status)
            response = problem_for_status(max(status, _BAD_REQUEST))
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response.force_close()
        return response
