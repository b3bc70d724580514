"""Wakes and messages inside one process, without a broker: what publisher and projector need of NATS.

A message counts as published when its consumer has acknowledged it, which the projector does after its
COMMIT; so the outbox row, deleted after that, is what survives a crash. For tails the last messages are kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine import errors
from engine.domain.subjects import generation_of
from engine.runtime.announcer import EVERYONE
from engine.runtime.atomic_batch import MOST_BYTES, PublishAck
from engine.runtime.bus import BEGINNING, Place, Told
from engine.runtime.loop import wait_any
from engine.runtime.stream import StreamState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.runtime.atomic_batch import OutgoingMessage
    from engine.runtime.bus import Delivered, OnWake

CREATED = "memory"
"""What shards remember as their stream: the same at every start, and no stream of NATS."""
PUBLISH_SECONDS = 5.0
KEPT_MESSAGES = 1_000
KEPT_BYTES = 16 * 2**20


class MemoryBus:
    """Wakes those who listen in this process, in the next turn of the event loop."""

    is_connected = True
    epoch = 1

    def __init__(self) -> None:
        self._listeners: defaultdict[str, list[OnWake]] = defaultdict(list)

    def announce(self, topic: str, body: bytes) -> None:
        """Wake whoever listens to the topic; what a listener raises does not reach the caller."""
        for on_wake in self._listeners[topic]:
            asyncio.get_running_loop().call_soon(on_wake, body)

    async def listen(self, topic: str, on_wake: OnWake) -> None:
        """Call `on_wake` with the body of each wake of the topic, and now with `EVERYONE`."""
        self._listeners[topic].append(on_wake)
        on_wake(EVERYONE)


@dataclass(frozen=True, slots=True, eq=False)
class MemoryMessage:
    """A message under way; `acknowledged` is cancelled when its publisher waits no longer."""

    subject: str
    data: bytes
    reply: str
    generation: int = 0
    acknowledged: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class MemoryStream:
    """Hands messages from publishers to one consumer, and is that `Consumer` too.

    Sequences begin with the microseconds of the clock, so that they grow over restarts: a publisher then
    sees the stream that it knows, without a loss.
    """

    def __init__(self, *, publish_seconds: float = PUBLISH_SECONDS) -> None:
        self._publish_seconds = publish_seconds
        self._last_seq = time.time_ns() // 1000
        self._waiting: deque[MemoryMessage] = deque()
        self._taken: dict[str, MemoryMessage] = {}
        self._news = asyncio.Event()
        self._kept: deque[Told] = deque()
        self._kept_bytes = 0
        self._tails: set[MemoryTail] = set()

    async def ensure(self) -> None:
        """Do nothing: it is there."""

    async def state(self) -> StreamState:
        """Return the last sequence given; nothing is kept, so that nothing can be missed."""
        now = datetime.now(UTC)
        return StreamState(
            created=CREATED,
            moment=now,
            first_seq=self._last_seq + 1,
            first_at=now,
            last_seq=self._last_seq,
            last_at=now,
            messages=0,
            has_room=False,
            allow_atomic=True,
            max_payload=MOST_BYTES,
            server_version=CREATED,
        )

    async def publish_one(self, message: OutgoingMessage) -> PublishAck:
        """Publish one message; see `publish_atomic`."""
        return PublishAck(seq=await self.publish_atomic([message]), duplicate=False)

    async def publish_atomic(self, messages: Sequence[OutgoingMessage]) -> int:
        """Hand over messages and return the sequence of the last once all are acknowledged.

        Raises:
            UnknownOutcome: not all were after 5 s; the others are forgotten, so publish all again.
        """
        published = [self._numbered(message) for message in messages]
        self._waiting.extend(published)
        self._news.set()
        try:
            answers = [message.acknowledged for message in published]
            _, missing = await asyncio.wait(answers, timeout=self._publish_seconds)
        finally:
            self._forget(published)
        if missing:
            raise errors.UnknownOutcome(
                "the projector has not acknowledged", code="broker_not_accepting", retry_after=1
            )
        return int(published[-1].reply)

    async def fetch(self, batch: int, wait_seconds: float) -> list[MemoryMessage]:
        """Return up to `batch` messages as soon as there is one, or none after `wait_seconds`, in order."""
        if not self._waiting:
            self._news.clear()
            await wait_any(wait_seconds, self._news)
        taken = [self._waiting.popleft() for _ in range(min(batch, len(self._waiting)))]
        self._taken |= {message.reply: message for message in taken}
        return taken

    def acknowledge(self, messages: Iterable[Delivered]) -> None:
        """Tell those who published messages that they are safe."""
        for message in self._give_up(messages):
            message.acknowledged.set_result(None)
            self._keep(Told(Place(message.generation, int(message.reply)), message.data, follows=True))
        for tail in self._tails:
            tail.news.set()

    def hand_back(self, messages: Iterable[Delivered]) -> None:
        """Have fetched messages come again in their order, before all that wait."""
        self._waiting.extendleft(reversed(self._give_up(messages)))
        self._news.set()

    async def close(self) -> None:
        """Do nothing: what was not fetched still waits."""

    def tail(self, after: Place | None, *, again: bool = False) -> MemoryTail:
        """A tail of the last messages."""
        tail = MemoryTail(self, after, again=again)
        self._tails.add(tail)
        return tail

    def drop(self, tail: MemoryTail) -> None:
        """Tell a tail nothing more."""
        self._tails.discard(tail)

    def kept(self) -> Sequence[Told]:
        """The last messages that were published, in their order."""
        return self._kept

    def _keep(self, told: Told) -> None:
        self._kept.append(told)
        self._kept_bytes += len(told.data)
        while len(self._kept) > KEPT_MESSAGES or self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popleft().data)

    def _numbered(self, message: OutgoingMessage) -> MemoryMessage:
        self._last_seq += 1
        generation = generation_of(message.headers.get("Nats-Msg-Id", ""))
        return MemoryMessage(message.subject, message.payload, str(self._last_seq), generation)

    def _give_up(self, messages: Iterable[Delivered]) -> list[MemoryMessage]:
        """Forget that messages are taken; returns those that somebody still waits for."""
        known = [self._taken.pop(message.reply) for message in messages]
        return [message for message in known if not message.acknowledged.done()]

    def _forget(self, published: Iterable[MemoryMessage]) -> None:
        """Drop those of a publisher who has gone away; what is acknowledged stays so."""
        abandoned = [message for message in published if message.acknowledged.cancel()]
        if abandoned:
            self._waiting = deque(message for message in self._waiting if not message.acknowledged.done())


class MemoryTail:
    """Reads what a `MemoryStream` keeps, and what it publishes; see `Tail`."""

    def __init__(self, stream: MemoryStream, after: Place | None, *, again: bool) -> None:
        self._stream = stream
        self.again = again
        self.place = after
        self.follows = True
        self.news = asyncio.Event()

    async def attach(self) -> None:
        """Find the place: it is always there."""
        if self.place is None:
            kept = self._stream.kept()
            self.place = kept[-1].place if kept else BEGINNING

    async def read(self, wait_seconds: float) -> Sequence[Told]:
        """Return the next messages as soon as there is one, or none after `wait_seconds`."""
        await self.attach()
        self.news.clear()
        found = self._after(self.place or BEGINNING)
        if not found:
            await wait_any(wait_seconds, self.news)
            found = self._after(self.place or BEGINNING)
        if found and not self.follows:
            found[0] = found[0]._replace(follows=False)
        if found:
            self.place, self.follows, self.again = found[-1].place, True, False
        return found

    async def close(self) -> None:
        """Read no more."""
        self._stream.drop(self)

    def _after(self, place: Place) -> list[Told]:
        """What is kept behind a place; all of it, as if anew, when the place is not kept any more."""
        kept = list(self._stream.kept())
        places = [told.place for told in kept]
        if place == BEGINNING:
            return kept
        if place not in places:
            self.place, self.follows, self.again = BEGINNING, False, False
            return kept
        return kept[places.index(place) + (not self.again) :]
