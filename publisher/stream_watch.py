"""Watches whether the stream is still the one published to: PostgreSQL remembers, NATS may forget."""

from __future__ import annotations

import time

import structlog

from engine.runtime import metrics
from engine.runtime.bus import Bus, Stream
from engine.runtime.database import Connection
from engine.runtime.settings import BrokerSettings
from engine.runtime.stream import StreamState
from engine.write import shards
from engine.write.shards import Standing

_log = structlog.get_logger(__name__)
_RECHECK_SECONDS = 60.0


class StreamWatch:
    """Checks the stream after every connection, once a minute, and whenever something looked wrong.

    `state` is what the last check found; `is_due` says that nothing may be published before the next.
    """

    def __init__(self, bus: Bus, stream: Stream, settings: BrokerSettings) -> None:
        self._bus = bus
        self._stream = stream
        self._max_age = settings.stream_max_age
        self._epoch = -1
        self._checked_at = 0.0
        self.state: StreamState | None = None

    @property
    def is_due(self) -> bool:
        """Whether the stream must be checked before anything is published."""
        age = time.monotonic() - self._checked_at
        return self.state is None or self._epoch != self._bus.epoch or age > _RECHECK_SECONDS

    def doubt(self) -> None:
        """Ask for a check before anything else is published."""
        self.state = None

    async def check(self, connection: Connection) -> StreamState:
        """Make sure of the stream; after a loss raise the generation and start to refill every shard.

        Raises:
            Refused, Unavailable: the broker is away or refuses; nothing is known, nothing is changed.
        """
        epoch = self._bus.epoch
        await self._stream.ensure()
        async with connection.transaction():
            standing = await shards.standing(connection)
            state = await self._stream.state()
            if standing.stream_created is None or standing.server is None:
                await shards.adopt(connection, state.created, standing.this_server)
        if loss(standing, state) is not None:
            state = await self._refill(connection)
        self.state, self._epoch, self._checked_at = state, epoch, time.monotonic()
        return state

    async def _refill(self, connection: Connection) -> StreamState:
        # Owning all shards stops every publisher, so that the comparison is of one moment.
        async with connection.transaction():
            await shards.lock_all(connection)
            standing = await shards.standing(connection)
            state = await self._stream.state()
            reason = loss(standing, state)
            if reason is not None:
                await shards.start_refills(
                    connection, state.created, state.last_seq, standing.this_server, self._max_age
                )
        if reason is not None:
            metrics.publisher_losses.labels(reason).inc()
            _log.error("stream.lost", reason=reason, last_seq=state.last_seq, expected_seq=standing.last_seq)
        return state


def loss(standing: Standing, state: StreamState) -> str | None:
    """Why what was published cannot be trusted to be in the stream, None while it can.

    `standing` must have been read before `state` was asked for.
    """
    if standing.stream_created is not None and standing.stream_created != state.created:
        return "recreated"
    if state.last_seq < standing.last_seq:
        return "rolled_back"
    if standing.server is not None and standing.server != standing.this_server:
        return "other_database"
    return None
