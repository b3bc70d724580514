"""The connection to NATS: made again for ever, and the core messages that wake others up."""

from __future__ import annotations

import asyncio
import random
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nats.errors
import structlog

from engine import errors
from engine.runtime import metrics
from engine.runtime.announcer import EVERYONE
from engine.runtime.loop import wait_any
from engine.runtime.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from nats.aio.msg import Msg

    from engine.runtime.bus import OnWake
    from engine.runtime.settings import BrokerSettings

WAKE_SUBJECT = "playlog.wake"

_log = structlog.get_logger(__name__)
_TOPIC = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_ATTEMPT_SECONDS = 5.0
_SERVER_SECONDS = 2
_PING_SECONDS = 5
_SILENT_PINGS = 2
_WATCH_SECONDS = 1.0
_BACKOFF = (0.1, 5.0)
_CLOSE_SECONDS = 2.0


class Refused(errors.Unavailable):
    """JetStream refused the request."""

    code = "broker_refused"

    def __init__(self, err_code: int, description: str) -> None:
        self.err_code = err_code
        self.description = description
        super().__init__(f"JetStream refused the request: {description} ({err_code})", retry_after=1)


@dataclass(slots=True, kw_only=True)
class _Listener:
    topic: str
    on_wake: OnWake
    epoch: int = 0


class Broker:
    """A connection to NATS that comes back by itself; while it is away every call fails at once.

    `epoch` counts the connections made: whoever must look at the server before using it compares epochs.
    """

    def __init__(self, settings: BrokerSettings, *, name: str = "playlog") -> None:
        if settings.nats_url is None:
            raise errors.Misconfigured("PLAYLOG_NATS_URL names no server")
        self._servers = [url.strip() for url in settings.nats_url.split(",")]
        self._name = name
        self._wire: Wire | None = None
        self._connected = asyncio.Event()
        self._closing = asyncio.Event()
        self._listeners: list[_Listener] = []
        self._supervisor: asyncio.Task[None] | None = None
        self.epoch = 0

    @property
    def is_connected(self) -> bool:
        """Whether a server answers, as far as the last pings tell (at most 15 s old)."""
        return self._wire is not None and self._wire.is_connected

    async def connect(self, *, wait_seconds: float = 30.0) -> None:
        """Begin connecting and wait for the first success; it goes on in the background in any case.

        Raises:
            Unavailable: no server within `wait_seconds`; with 0 nothing is waited for and nothing raised.
        """
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise(), name="nats")
        if wait_seconds <= 0:
            return
        try:
            async with asyncio.timeout(wait_seconds):
                await self._connected.wait()
        except TimeoutError as error:
            raise _away() from error

    async def close(self) -> None:
        """Send what was written, disconnect and stop connecting again."""
        self._closing.set()
        if self._supervisor is not None:
            await self._supervisor

    def wire(self) -> Wire:
        """Return the present connection.

        Raises:
            Unavailable: there is none.
        """
        if self._wire is None or not self._wire.is_connected:
            raise _away()
        return self._wire

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - nats-py takes it, and the error must be ours
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """Send a request over the present connection and return the answer.

        Raises:
            Unavailable: `broker_away`, `broker_no_responders` or `broker_timeout`.
        """
        return await ask(self.wire(), subject, payload, timeout=timeout, headers=headers)

    def announce(self, topic: str, body: bytes) -> None:
        """Wake whoever listens to the topic; without a connection the wake is dropped and counted."""
        _check_topic(topic)
        try:
            self.wire().write(b"PUB %b.%b %d\r\n%b\r\n" % (_WAKE, topic.encode(), len(body), body))
        except (errors.Unavailable, nats.errors.Error):
            metrics.wakes_dropped.labels(topic).inc()
        else:
            metrics.wakes_sent.labels(topic).inc()

    async def listen(self, topic: str, on_wake: OnWake) -> None:
        """Call `on_wake` with the body of each wake of the topic, for as long as the broker lives.

        After every connection it is called with `EVERYONE`, because wakes may have been missed.
        """
        _check_topic(topic)
        listener = _Listener(topic=topic, on_wake=on_wake)
        self._listeners.append(listener)
        if self.is_connected:
            await self._subscribe(self.wire(), listener)

    async def _supervise(self) -> None:
        failures = 0
        while not self._closing.is_set():
            wire = Wire()
            try:
                await self._use(wire)
                failures = 0
            except Exception as error:  # noqa: BLE001 - connecting goes on whatever nats-py raises
                failures += 1
                await _report(error)
            finally:
                self._wire = None
                self._connected.clear()
                metrics.broker_connected.set(0)
                await _discard(wire, politely=self._closing.is_set() and wire.is_connected)
            await wait_any(_backoff(failures), self._closing)

    async def _use(self, wire: Wire) -> None:
        """Connect and stay until the connection breaks or the broker is closed."""
        broken = asyncio.Event()

        async def on_closed() -> None:
            broken.set()

        async with asyncio.timeout(_ATTEMPT_SECONDS):
            await wire.connect(
                self._servers,
                name=self._name,
                error_cb=_report,
                closed_cb=on_closed,
                disconnected_cb=on_closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=_SERVER_SECONDS,
                ping_interval=_PING_SECONDS,
                max_outstanding_pings=_SILENT_PINGS,
                pending_size=0,
            )
        await self._greet(wire)
        while wire.is_connected and not await wait_any(_WATCH_SECONDS, broken, self._closing):
            pass
        if not self._closing.is_set():
            _log.warning("nats.disconnected", epoch=self.epoch)

    async def _greet(self, wire: Wire) -> None:
        self.epoch += 1
        self._wire = wire
        metrics.broker_connections.inc()
        metrics.broker_connected.set(1)
        _log.info("nats.connected", epoch=self.epoch, server=wire.server_version)
        for listener in list(self._listeners):
            await self._subscribe(wire, listener)
        self._connected.set()

    async def _subscribe(self, wire: Wire, listener: _Listener) -> None:
        if listener.epoch == self.epoch:
            return
        listener.epoch = self.epoch

        async def on_message(message: Msg) -> None:
            metrics.wakes_heard.labels(listener.topic).inc()
            listener.on_wake(message.data)

        await wire.subscribe(f"{WAKE_SUBJECT}.{listener.topic}", cb=on_message)
        listener.on_wake(EVERYONE)


_WAKE = WAKE_SUBJECT.encode()


@asynccontextmanager
async def connecting(settings: BrokerSettings, *, name: str) -> AsyncIterator[Broker]:
    """A broker for the block, which waits for no server: it connects in the background."""
    broker = Broker(settings, name=name)
    await broker.connect(wait_seconds=0)
    try:
        yield broker
    finally:
        await broker.close()


async def ask(
    wire: Wire,
    subject: str,
    payload: bytes = b"",
    *,
    timeout: float = 5.0,  # noqa: ASYNC109 - nats-py takes it, and the error must be ours
    headers: Mapping[str, str] | None = None,
) -> Msg:
    """Send a request over one connection; see `Broker.request` for its errors."""
    try:
        return await wire.request(subject, payload, timeout=timeout, headers=dict(headers or {}) or None)
    except nats.errors.NoRespondersError as error:
        raise errors.Unavailable(
            "nothing in NATS answers; is JetStream on, and the stream there?",
            code="broker_no_responders",
            retry_after=1,
        ) from error
    except TimeoutError as error:
        raise errors.Unavailable(
            "NATS did not answer in time", code="broker_timeout", retry_after=1
        ) from error
    except nats.errors.MaxPayloadError as error:
        raise errors.TooLarge("the message is larger than NATS takes") from error
    except (nats.errors.Error, OSError) as error:
        raise _away() from error


def _away() -> errors.Unavailable:
    return errors.Unavailable("NATS is away", code="broker_away", retry_after=1)


def _check_topic(topic: str) -> None:
    if not _TOPIC.fullmatch(topic):
        raise ValueError(f"not a topic: {topic!r}")


async def _report(error: Exception) -> None:
    metrics.broker_errors.labels(type(error).__name__).inc()
    _log.warning("nats.error", error=type(error).__name__, detail=str(error))


async def _discard(wire: Wire, *, politely: bool) -> None:
    if not politely:
        wire.cut()
    try:
        # A server that stopped reading must not hold up closing for ever.
        async with asyncio.timeout(_CLOSE_SECONDS):
            await wire.close()
    except (OSError, nats.errors.Error, TimeoutError) as error:
        await _report(error)
    finally:
        wire.cut()


def _backoff(failures: int) -> float:
    least, most = _BACKOFF
    return random.uniform(0, min(most, least * 2**failures))  # noqa: S311 - spreads load, guards nothing
