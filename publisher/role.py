"""The publisher: own shards, read what is due, publish, delete, commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from engine.domain.ids import SHARDS
from engine.domain.messages import Span, header_lines
from engine.errors import PlaylogError, UnknownOutcome
from engine.runtime import metrics
from engine.runtime.atomic_batch import MOST_BYTES, MOST_MESSAGES, OutgoingMessage
from engine.runtime.broker import Refused
from engine.runtime.bus import Bus, Stream
from engine.runtime.database import Connection, classified, reconnector
from engine.runtime.settings import PublisherProcess
from engine.write import publishing, shards
from engine.write.parking import Failure, park
from engine.write.publishing import Waiting
from engine.write.shards import Shard
from publisher.refill import refill
from publisher.sending import Parcel, Sender, Sent, StreamLost
from publisher.stream_watch import StreamWatch

IDLE_SECONDS = 5.0
SOON_SECONDS = 1.0
PAGE_MESSAGES = 2_000

_log = structlog.get_logger(__name__)
_RECONNECT_SECONDS = 2.0
_CHECKPOINT_SECONDS = 120.0


class Publisher:
    """The role `publish`, on a connection of its own: whoever holds a shard's row publishes its messages.

    `call_help` is called when more waits than one pass takes.
    """

    def __init__(
        self,
        settings: PublisherProcess,
        bus: Bus,
        stream: Stream,
        *,
        name: str = "publish",
        idle_seconds: float = IDLE_SECONDS,
        call_help: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._idle_seconds = idle_seconds
        self._call_help = call_help
        self._shards = settings.publisher_shards
        self._connect = reconnector(settings, name="playlog-publisher", seconds=_RECONNECT_SECONDS)
        self._connection: Connection | None = None
        self._watch = StreamWatch(bus, stream, settings)
        self._sender = Sender(stream)
        self._checkpoint_at = 0.0
        self._fruitless = 0
        self._fault: str | None = None

    async def fault(self) -> str | None:
        """Return why nothing is published, None while it is."""
        return self._fault

    async def step(self) -> float:
        """Publish what is due, at most 2,000 messages, and return how long to rest.

        Raises:
            Unavailable, UnknownOutcome: broker or database away; what the stream had acknowledged is
                published again with the same message ids.
        """
        try:
            with classified():
                rest = await self._pass(await self._connected())
        except StreamLost:
            self._watch.doubt()
            return 0.0
        except PlaylogError as error:
            self._failed(error)
            raise
        self._fault = None
        return rest

    async def close(self) -> None:
        """Give up the connection; a pass that was cut off is rolled back by the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def _failed(self, error: PlaylogError) -> None:
        self._fault = f"{error.code}: {error.detail}"
        if isinstance(error, Refused | UnknownOutcome) or error.code.startswith("broker_"):
            self._watch.doubt()
        elif self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def _pass(self, connection: Connection) -> float:
        if self._watch.is_due:
            state = await self._watch.check(connection)
            self._sender.allow_atomic = state.allow_atomic
            self._sender.max_payload = state.max_payload
        async with connection.transaction():
            if not await shards.begin_pass(connection):
                metrics.publisher_refilling.set(0)
                return self._idle_seconds
            owned = await shards.lock(connection, self._shards)
            self._check_stream(owned)
            stopped, rest = await self._serve(connection, owned)
        if stopped is not None:
            raise stopped
        return rest

    def _check_stream(self, owned: Sequence[Shard]) -> None:
        state = self._watch.state
        if state is None or any(shard.stream_created != state.created for shard in owned):
            raise StreamLost

    async def _serve(
        self, connection: Connection, owned: Sequence[Shard]
    ) -> tuple[PlaylogError | None, float]:
        if not owned:
            return None, SOON_SECONDS
        refilling = [shard for shard in owned if shard.refill_after is not None]
        metrics.publisher_refilling.set(len(refilling))
        metrics.publisher_generation.set(owned[0].generation)
        if refilling:
            numbers = [shard.shard for shard in refilling]
            await shards.served(connection, numbers, await refill(connection, self._sender, refilling))
            return None, 0.0
        numbers = [shard.shard for shard in owned]
        waiting = await publishing.due(connection, numbers, PAGE_MESSAGES, MOST_BYTES)
        if len(waiting) >= MOST_MESSAGES and self._call_help is not None:
            self._call_help()
        sent = await self._sender.send(_parcels(waiting, owned), owned[0].expected_seq)
        await self._settle(connection, owned, waiting, sent)
        self._fruitless = 0 if waiting else self._fruitless + len(owned)
        return sent.stopped, 0.0 if self._fruitless < self._worth_a_look(owned) else self._idle_seconds

    def _worth_a_look(self, owned: Sequence[Shard]) -> int:
        """After how many shards in which everything is held back the others need no look any more."""
        return SHARDS if len(owned) == self._shards else 1

    async def _settle(
        self, connection: Connection, owned: Sequence[Shard], waiting: Sequence[Waiting], sent: Sent
    ) -> None:
        numbers = [shard.shard for shard in owned]
        if sent.stored:
            await publishing.delete_published(connection, [waiting[index].outbox_id for index in sent.stored])
        await shards.served(connection, numbers, sent.last_seq)
        if sent.refused:
            await _park(connection, waiting, sent)
        if time.monotonic() - self._checkpoint_at > _CHECKPOINT_SECONDS and sent.last_seq:
            await shards.checkpoint(connection, numbers)
            self._checkpoint_at = time.monotonic()
        _count(waiting, sent)


def _parcels(waiting: Sequence[Waiting], owned: Sequence[Shard]) -> list[Parcel]:
    generations = {shard.shard: shard.generation for shard in owned}
    return [
        Parcel(
            each.execution_id,
            OutgoingMessage(
                subject=each.subject,
                payload=each.payload.encode(),
                header_lines=header_lines(
                    Span(each.execution_id, each.first_version, each.last_version),
                    generations[each.shard],
                    each.created_at,
                    each.traceparent,
                ),
            ),
        )
        for each in waiting
    ]


async def _park(connection: Connection, waiting: Sequence[Waiting], sent: Sent) -> None:
    failures = [
        Failure(outbox_id=waiting[index].outbox_id, error=reason, attempts=waiting[index].attempts + 1)
        for index, reason in sent.refused.items()
    ]
    parked = await park(connection, failures)
    metrics.publisher_parked.inc(len(parked.outbox_ids))
    metrics.publisher_dead.inc(len(parked.dead_ids))
    for failure in failures:
        _log.warning(
            "message.parked",
            outbox_id=failure.outbox_id,
            attempts=failure.attempts,
            reason=failure.error,
            dead=failure.outbox_id in parked.dead_ids,
        )


def _count(waiting: Sequence[Waiting], sent: Sent) -> None:
    if not sent.stored:
        return
    stored = [waiting[index] for index in sent.stored]
    metrics.publisher_messages.inc(len(stored) - sent.duplicates)
    metrics.publisher_duplicates.inc(sent.duplicates)
    metrics.publisher_events.inc(sum(each.last_version - each.first_version + 1 for each in stored))
    oldest = min(each.created_at for each in stored)
    metrics.publisher_age_seconds.observe(max(0.0, (datetime.now(UTC) - oldest).total_seconds()))
