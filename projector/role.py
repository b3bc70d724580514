"""One pass of the projector: fetch, project, COMMIT, and only then acknowledge and announce."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime

import structlog

from engine.read.cache import StateCache
from engine.read.incidents import report_unreadable
from engine.read.messages import Message, UnreadableMessage, execution_of, parse_message
from engine.read.projection import Projected, advance, project
from engine.runtime import metrics
from engine.runtime.bus import Consumer, Delivered
from engine.runtime.database import Connection

BATCH = 500
WAIT_SECONDS = 1.0
SUPERSEDED_REST_SECONDS = 60.0
CLOSE_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class Projector:
    """Brings snapshots forward from the stream, on a connection of its own.

    Whatever the stream loses, repeats or reorders, the log has: a message that does not fit, or cannot be
    read, has its execution folded from there. A message is acknowledged after the commit of what it said.
    """

    name = "projector"

    def __init__(
        self,
        consumer: Consumer,
        connect: Callable[[], Awaitable[Connection]],
        announce: Callable[[int, int], None],
    ) -> None:
        self._consumer = consumer
        self._connect = connect
        self._announce = announce
        self._cache = StateCache()
        self._connection: Connection | None = None
        self._is_superseded = False

    async def step(self) -> float:
        """Project one batch; the fetch itself waits for messages, so there is no rest."""
        if self._is_superseded:
            return SUPERSEDED_REST_SECONDS
        batch = await self._consumer.fetch(BATCH, WAIT_SECONDS)
        if not batch:
            metrics.projector_lag.set(0)
            return 0.0
        try:
            with metrics.projector_seconds.time():
                projected = await self._project(batch)
        except Exception:
            self._forget()
            self._consumer.hand_back(batch)
            raise
        if projected.superseded:
            await self._give_way(batch, projected)
            return SUPERSEDED_REST_SECONDS
        self._consumer.acknowledge(batch)
        for execution_id in projected.written:
            self._announce(execution_id, projected.versions[execution_id])
        return 0.0

    async def fault(self) -> str | None:
        """Why this process must not go on: a newer build projects already."""
        return "superseded: a newer build folds these executions" if self._is_superseded else None

    async def close(self) -> None:
        """Close the connection to the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close(timeout=CLOSE_SECONDS)

    async def _project(self, batch: Sequence[Delivered]) -> Projected:
        messages, unreadable = read(batch)
        connection = await self._connected()
        projected = await project(connection, messages, self._cache)
        _count(projected)
        if unreadable:
            await self._heal(connection, unreadable, projected)
        if messages:
            newest = max(message.events[-1].recorded_at for message in messages)
            metrics.projector_lag.set(max((datetime.now(UTC) - newest).total_seconds(), 0))
        return projected

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._forget()
            self._connection = await self._connect()
        return self._connection

    def _forget(self) -> None:
        """Begin anew: after an error neither the states nor the connection can be trusted."""
        self._cache.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _heal(self, connection: Connection, unreadable: dict[str, str], projected: Projected) -> None:
        metrics.projector_unreadable.inc(len(unreadable))
        _log.error("projector.unreadable", subjects=sorted(unreadable))
        async with connection.transaction():
            await report_unreadable(connection, unreadable)
        named = {execution_of(subject) for subject in unreadable}
        healed = await advance(
            connection, [execution_id for execution_id in named if execution_id is not None]
        )
        _count(healed)
        projected.written |= healed.written
        projected.versions |= healed.versions
        projected.superseded |= healed.superseded

    async def _give_way(self, batch: Sequence[Delivered], projected: Projected) -> None:
        self._is_superseded = True
        self._cache.clear()
        self._consumer.hand_back(batch)
        await self._consumer.close()
        _log.error("projector.superseded", executions=len(projected.superseded))


def read(batch: Iterable[Delivered]) -> tuple[list[Message], dict[str, str]]:
    """The messages of a batch, and why others cannot be read, by subject."""
    messages: list[Message] = []
    unreadable: dict[str, str] = {}
    for raw in batch:
        try:
            messages.append(parse_message(raw.data))
        except UnreadableMessage as error:
            unreadable[raw.subject] = str(error)
    return messages, unreadable


def _count(projected: Projected) -> None:
    metrics.projector_events.inc(sum(projected.events.values()))
    metrics.projector_log_reads.inc(len(projected.from_log))
    metrics.projector_gaps.inc(projected.gaps)
    metrics.projector_poison.inc(len(projected.failed))
    if projected.failed:
        _log.error("projector.poison", executions=projected.failed)
