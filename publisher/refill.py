"""Publishes executions of the log again, after the stream forgot them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import structlog

from engine.domain.ids import shard_of
from engine.domain.messages import Draft, encode, header_lines
from engine.domain.subjects import event_subject
from engine.errors import Unavailable
from engine.read import refill as log
from engine.read.refill import Head, Refill
from engine.runtime import metrics
from engine.runtime.atomic_batch import MOST_BYTES, MOST_MESSAGES, OutgoingMessage
from engine.runtime.database import Connection
from engine.write import shards
from engine.write.shards import Shard
from publisher.sending import Parcel, Sender, Sent, StreamLost

_log = structlog.get_logger(__name__)
_EXECUTIONS = 1_000
_EVENTS = 10_000
_MESSAGE_EVENTS = 500


async def refill(connection: Connection, sender: Sender, owned: Sequence[Shard]) -> int:
    """Publish the next executions of owned, refilling shards; returns the highest sequence, 0 for none.

    Crashing before the COMMIT repeats them with the same message ids.

    Raises:
        Unavailable, UnknownOutcome: the broker does not take them; nothing is noted.
        StreamLost: it is lost once more.
    """
    found = await log.heads(connection, [_order(shard) for shard in owned], _EXECUTIONS)
    page = _page(found)
    generations = {shard.shard: shard.generation for shard in owned}
    refilling = _Refilling(sender, owned[0].expected_seq)
    async for parcel in _parcels(connection, page, generations):
        await refilling.add(parcel)
    await refilling.flush()
    is_last = len(page) == len(found) < _EXECUTIONS
    reached = page[-1].execution_id if page else 0
    cursors = {shard.shard: None if is_last else max(shard.refill_after or 0, reached) for shard in owned}
    await shards.advance_refills(connection, cursors)
    metrics.publisher_refilled.inc(len(page))
    if is_last:
        _log.info("refill.finished", shards=sorted(cursors))
    return refilling.last_seq if page else 0


@dataclass(slots=True)
class _Refilling:
    """Collects messages to full batches."""

    sender: Sender
    last_seq: int
    waiting: list[Parcel] = field(default_factory=list)
    size: int = 0

    async def add(self, parcel: Parcel) -> None:
        if len(self.waiting) == MOST_MESSAGES or self.size + parcel.bytes > MOST_BYTES:
            await self.flush()
        self.waiting.append(parcel)
        self.size += parcel.bytes

    async def flush(self) -> None:
        if not self.waiting:
            return
        sent = await self.sender.send(self.waiting, self.last_seq)
        if sent.stopped is not None:
            raise sent.stopped
        for index, reason in sent.refused.items():
            message_id = self.waiting[index].message.headers["Nats-Msg-Id"]
            _log.error("refill.message_refused", message_id=message_id, reason=reason)
        if _has_untried(self.waiting, sent):
            raise Unavailable("NATS takes messages too slowly", code="broker_not_accepting", retry_after=1)
        self.last_seq = max(self.last_seq, sent.last_seq)
        self.waiting, self.size = [], 0


def _has_untried(parcels: Sequence[Parcel], sent: Sent) -> bool:
    """Whether a parcel is neither stored nor refused, nor behind a refused one of its execution."""
    settled = {*sent.stored, *sent.refused}
    held_back = {parcels[index].execution_id for index in sent.refused}
    return any(
        index not in settled and parcel.execution_id not in held_back for index, parcel in enumerate(parcels)
    )


def _order(shard: Shard) -> Refill:
    if shard.refill_after is None or shard.refill_from is None:
        raise StreamLost
    return Refill(shard=shard.shard, after_id=shard.refill_after, since=shard.refill_from)


def _page(found: Sequence[Head]) -> list[Head]:
    """The first executions with at most 10,000 events together, but at least one."""
    page: list[Head] = []
    events = 0
    for head in found:
        events += head.version
        if page and events > _EVENTS:
            break
        page.append(head)
    return page


async def _parcels(
    connection: Connection, page: Sequence[Head], generations: dict[int, int]
) -> AsyncIterator[Parcel]:
    """The events of a page as messages of one execution each, cut like those of an append."""
    heads = {head.execution_id: head for head in page}
    draft = Draft()
    async for event in log.events(connection, page):
        encoded = encode(event, orjson.dumps(event.payload))
        if draft.events and (draft.events[0].execution_id != event.execution_id or _is_full(draft, encoded)):
            yield _parcel(heads, draft, generations)
            draft = Draft()
        draft.add(event, encoded)
    if draft.events:
        yield _parcel(heads, draft, generations)


def _is_full(draft: Draft, encoded: bytes) -> bool:
    return len(draft.events) == _MESSAGE_EVENTS or not draft.takes(encoded)


def _parcel(heads: Mapping[int, Head], draft: Draft, generations: Mapping[int, int]) -> Parcel:
    span, newest = draft.span, draft.events[-1]
    head = heads[span.execution_id]
    message = OutgoingMessage(
        subject=event_subject(span.execution_id),
        payload=draft.body(head.definition_hash, head.path),
        header_lines=header_lines(
            span, generations[shard_of(span.execution_id)], newest.recorded_at, newest.traceparent
        ),
    )
    return Parcel(span.execution_id, message)
