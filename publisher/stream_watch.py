"""Watches whether the stream is still the one published to: PostgreSQL remembers, NATS may forget."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from engine.domain.ids import SHARDS
from engine.runtime import metrics
from engine.runtime.bus import Bus, Stream
from engine.runtime.database import Connection
from engine.runtime.settings import BrokerSettings
from engine.runtime.stream import StreamState
from engine.write import shards
from engine.write.shards import Standing

PURGED = "purged"

_log = structlog.get_logger(__name__)
RECHECK_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Places in the stream at a check, each with the earliest time of its message, and the generation.

    They are those of the oldest and the newest message; of an empty stream, that of the next.
    """

    generation: int
    places: tuple[tuple[int, datetime], ...]

    @classmethod
    def of(cls, state: StreamState, generation: int) -> Seen:
        """What a check found."""
        if state.messages == 0:
            return cls(generation, ((state.last_seq + 1, state.moment),))
        return cls(generation, ((state.first_seq, state.first_at), (state.last_seq, state.last_at)))


class StreamWatch:
    """Checks the stream after every connection, every 12 s, and whenever something looked wrong.

    `state` is what the last check found; `is_due` says that nothing may be published before the next.
    """

    def __init__(self, bus: Bus, stream: Stream, settings: BrokerSettings) -> None:
        self._bus = bus
        self._stream = stream
        self._max_age = settings.stream_max_age
        self._epoch = -1
        self._checked_at = 0.0
        self._seen: Seen | None = None
        self.state: StreamState | None = None

    @property
    def is_due(self) -> bool:
        """Whether the stream must be checked before anything is published."""
        age = time.monotonic() - self._checked_at
        return self.state is None or self._epoch != self._bus.epoch or age > RECHECK_SECONDS

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
        generation = standing.generation
        if self._loss(standing, state) is not None:
            state, generation = await self._refill(connection)
        self._seen = Seen.of(state, generation)
        self.state, self._epoch, self._checked_at = state, epoch, time.monotonic()
        return state

    def _loss(self, standing: Standing, state: StreamState) -> str | None:
        return loss(standing, state) or purged(standing, state, self._seen, timedelta(seconds=self._max_age))

    async def _refill(self, connection: Connection) -> tuple[StreamState, int]:
        # Owning all shards stops every publisher, so that the comparison is of one moment.
        async with connection.transaction():
            await shards.lock_all(connection)
            standing = await shards.standing(connection)
            state = await self._stream.state()
            reason = self._loss(standing, state)
            held = state.last_seq
            if reason == PURGED:
                await shards.forget_checkpoints(connection, range(SHARDS))
                held = 0
            if reason is not None:
                await shards.start_refills(
                    connection, state.created, held, standing.this_server, self._max_age
                )
        if reason is not None:
            metrics.publisher_losses.labels(reason).inc()
            _log.error("stream.lost", reason=reason, last_seq=state.last_seq, expected_seq=standing.last_seq)
        return state, standing.generation + (reason is not None)


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


def purged(standing: Standing, state: StreamState, seen: Seen | None, max_age: timedelta) -> str | None:
    """Whether messages are gone that neither their age nor the stream's size explains.

    Known to have been there is what the last check saw, unless a refill has begun since, and the last that
    a publisher was acknowledged.
    """
    known: list[tuple[int, datetime | None]] = [(standing.last_seq, standing.published_at)]
    if seen is not None and seen.generation == standing.generation:
        known += seen.places
    if not state.has_room:
        return None
    youngest = state.moment - max_age
    gone = any(at is not None and at > youngest and 0 < seq < state.first_seq for seq, at in known)
    return PURGED if gone else None
