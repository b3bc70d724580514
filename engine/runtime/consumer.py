"""A durable pull consumer of the stream that outlives reconnects, deletion and recreation."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import nats.errors
import orjson

from engine import errors
from engine.runtime import metrics
from engine.runtime.broker import Refused
from engine.runtime.loop import wait_any
from engine.runtime.stream import STREAM_MISSING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from engine.runtime.broker import Broker
    from engine.runtime.bus import Delivered
    from engine.runtime.stream import EventStream
    from engine.runtime.wire import Wire

_SECOND = 1_000_000_000
_STATUS, _DESCRIPTION = "Status", "Description"
_FINISHED = ("404", "408")
_NO_RESPONDERS = "503"
_MOST_BYTES = 16 * 2**20
_REQUEST_SECONDS = 30.0
_WATCH_SECONDS = 0.5
_PAUSE_SECONDS = 0.25


class PullConsumer:
    """Fetches batches for one durable name; at most one request for messages is open at a time.

    A request goes on delivering between two fetches, so that a busy reader never waits for a round trip.
    """

    most_bytes = _MOST_BYTES

    def __init__(
        self,
        broker: Broker,
        stream: EventStream,
        durable: str,
        *,
        filter_subject: str | None = None,
        ack_wait: float = 30.0,
        max_ack_pending: int = 10_000,
    ) -> None:
        self._broker = broker
        self._stream = stream
        self._durable = self._label = durable
        self._config = {
            "durable_name": durable,
            "name": durable,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "max_deliver": -1,
            "ack_wait": int(ack_wait * _SECOND),
            "max_ack_pending": max_ack_pending,
            **({"filter_subject": filter_subject} if filter_subject else {}),
        }
        self._arrived: deque[Msg] = deque()
        self._news = asyncio.Event()
        self._epoch = 0
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._request = 0
        self._owed = 0
        self._owed_until = 0.0

    async def ensure(self) -> None:
        """Create the consumer, or the stream too when that is missing.

        Raises:
            Unavailable: no answer.
        """
        body = {"stream_name": self._stream.name, "config": self._config}
        subject = f"CONSUMER.DURABLE.CREATE.{self._stream.name}.{self._durable}"
        try:
            await self._stream.api(subject, body)
        except Refused as refused:
            if refused.err_code != STREAM_MISSING:
                raise
            await self._stream.ensure()
            await self._stream.api(subject, body)

    async def fetch(self, batch: int, wait_seconds: float) -> list[Msg]:
        """Return up to `batch` messages as soon as there is one, or none after `wait_seconds`.

        They come in stream order, except that unacknowledged ones come again after ack_wait.

        Raises:
            Unavailable: not connected, or no answer while the consumer had to be created.
        """
        wire = self._broker.wire()
        deadline = time.monotonic() + wait_seconds
        while not self._arrived:
            if self._epoch != self._broker.epoch:
                await self._attach(wire)
            self._news.clear()
            self._ask_for(wire, batch)
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not wire.is_connected:
                return []
            await wait_any(min(remaining, _WATCH_SECONDS), self._news)
        taken = [self._arrived.popleft() for _ in range(min(batch, len(self._arrived)))]
        metrics.broker_fetched.labels(self._label).inc(len(taken))
        return taken

    def acknowledge(self, messages: Iterable[Delivered]) -> None:
        """Acknowledge messages in one write; without a connection they will simply come again."""
        self._reply(messages, b"+ACK")

    def hand_back(self, messages: Iterable[Delivered]) -> None:
        """Have messages delivered again at once, to whoever asks."""
        self._reply(messages, b"-NAK")

    async def close(self) -> None:
        """End the open request and hand back what arrived and was not fetched."""
        await self._detach()
        self._epoch = 0

    async def _attach(self, wire: Wire) -> None:
        await self._detach()
        epoch = self._broker.epoch
        await self.ensure()
        inbox = wire.new_inbox()
        try:
            self._subscription = await wire.subscribe(f"{inbox}.*", cb=self._on_message)
        except nats.errors.Error as error:
            raise errors.Unavailable("NATS is away", code="broker_away", retry_after=1) from error
        self._inbox = inbox
        self._epoch = epoch

    async def _detach(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
        self.hand_back(self._arrived)
        self._arrived.clear()
        self._owed = 0

    def _ask_for(self, wire: Wire, batch: int) -> None:
        now = time.monotonic()
        if self._owed > 0 and now < self._owed_until:
            return
        self._request += 1
        self._owed = batch
        self._owed_until = now + _REQUEST_SECONDS
        body = orjson.dumps(
            {"batch": batch, "expires": int(_REQUEST_SECONDS * _SECOND), "max_bytes": self.most_bytes}
        )
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream.name}.{self._durable}"
        with suppress(nats.errors.Error):
            wire.write(
                f"PUB {subject} {self._inbox}.{self._request} {len(body)}\r\n".encode() + body + b"\r\n"
            )

    async def _on_message(self, message: Msg) -> None:
        if message.subject.startswith(self._inbox):
            self._on_status(message)
        else:
            self._arrived.append(message)
            self._owed -= 1
        self._news.set()

    def _on_status(self, message: Msg) -> None:
        """End the open request, as the server says; what is no ordinary end pauses asking for a moment."""
        headers = message.headers or {}
        if not message.subject.endswith(f".{self._request}"):
            return
        if headers.get(_STATUS) in _FINISHED:
            self._owed = 0
            return
        self._owed_until = time.monotonic() + _PAUSE_SECONDS
        if headers.get(_STATUS) == _NO_RESPONDERS or "deleted" in headers.get(_DESCRIPTION, "").lower():
            self._epoch = 0

    def _reply(self, messages: Iterable[Delivered], word: bytes) -> None:
        block = b"".join(
            [b"PUB %b %d\r\n%b\r\n" % (message.reply.encode(), len(word), word) for message in messages]
        )
        if block:
            with suppress(nats.errors.Error, errors.Unavailable):
                self._broker.wire().write(block)
