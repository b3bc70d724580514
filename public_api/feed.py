"""The events of all executions: read once from the stream, and handed to everyone who listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
import structlog

from engine.errors import PlaylogError
from engine.runtime.bus import BEGINNING, OpenTail, Place, Tail, Told
from engine.runtime.loop import end
from public_api.event_source import PING, TooSlow, block, place_block

READ_SECONDS = 5.0
RETRY_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class Frame(NamedTuple):
    """One event as it is sent, with what filters look at; `number` is its place in its message."""

    number: int
    playbook: str | None
    event_type: str
    status: str
    block: bytes


@dataclass(frozen=True, slots=True)
class Portion:
    """What one message of the stream tells."""

    place: Place
    follows: bool
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events a client wants; None for all."""

    playbook: str | None = None
    types: frozenset[str] | None = None
    status: frozenset[str] | None = None

    def takes(self, frame: Frame) -> bool:
        """Whether it wants this one."""
        return (
            (self.playbook is None or frame.playbook == self.playbook)
            and (self.types is None or frame.event_type in self.types)
            and (self.status is None or frame.status in self.status)
        )


@dataclass(slots=True, eq=False)
class Client:
    """One who listens: what waits for it, and whether that became too much.

    `place` is the last message whose events have all been taken, None before that is known; `generation` is
    that of the last message put, 0 before the first.
    """

    wanted: Wanted
    most_bytes: int
    place: Place | None = None
    generation: int = 0
    is_dropped: bool = False
    _after: Place = BEGINNING
    _waiting: deque[tuple[Place, bytes]] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, after: Place, generation: int) -> None:
        """Take only what comes after a place, and what is of another generation as a reset."""
        self._after = after
        self.generation = generation

    def put(self, portion: Portion, *, after_number: int = -1) -> None:
        """Queue what it wants of a message; of one known in part, only what comes after that number."""
        if portion.follows and portion.place <= self._after:
            return
        self._after = portion.place
        frames = [frame for frame in portion.frames if frame.number > after_number]
        blocks = [frame.block for frame in frames if self.wanted.takes(frame)]
        self._queue(portion.place, b"".join([*self._reset(portion), *blocks]))

    async def take(self) -> bytes:
        """All that waits, as soon as there is something; raises `TooSlow` when it became too much."""
        while not self._waiting and not self.is_dropped:
            self._news.clear()
            await self._news.wait()
        return self.take_now()

    def take_now(self) -> bytes:
        """All that waits; raises `TooSlow` when it became too much."""
        if self.is_dropped:
            raise TooSlow
        if self._waiting:
            self.place = self._waiting[-1][0]
        found = b"".join(part for _, part in self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return found

    def ping(self) -> bytes:
        """The id to go on after, which moves on also while nothing that is wanted happens."""
        return PING if self.place is None else place_block(place_text(self.place))

    def broken_off(self, generation: int) -> bytes:
        """The word that what comes does not follow what was before."""
        self.generation = generation
        return block({"generation": generation}, event="reset")

    def _reset(self, portion: Portion) -> Iterator[bytes]:
        known, self.generation = self.generation, portion.place.generation
        if not portion.follows or known not in {0, self.generation}:
            yield self.broken_off(self.generation)

    def _queue(self, place: Place, found: bytes) -> None:
        self._waiting_bytes += len(found)
        if self._waiting_bytes > self.most_bytes:
            self.is_dropped = True
            self._waiting.clear()
        elif found:
            self._waiting.append((place, found))
        elif not self._waiting:
            self.place = place
        self._news.set()


class Feed:
    """One tail of the stream for everyone, read while somebody listens."""

    def __init__(self, open_tail: OpenTail, most_bytes: int) -> None:
        self._open_tail = open_tail
        self._most_bytes = most_bytes
        self._clients: set[Client] = set()
        self._joining = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._tail: Tail | None = None
        self._listeners = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Feed]:
        """The feed, running for the block; raises `Unavailable` when the stream cannot be read now."""
        self._listeners += 1
        try:
            async with self._joining:
                await self._begin()
            yield self
        finally:
            self._listeners -= 1
            if not self._listeners:
                await self._end()

    @property
    def place(self) -> Place:
        """The last message that was handed out."""
        place = None if self._tail is None else self._tail.place
        return BEGINNING if place is None else place

    def client(self, wanted: Wanted) -> Client:
        """One who is not given anything yet."""
        return Client(wanted, self._most_bytes)

    def join(self, client: Client, after: Place) -> None:
        """Hand to a client whatever comes from now on, and after a place."""
        client.begin(after, client.generation or after.generation)
        self._clients.add(client)

    def leave(self, client: Client) -> None:
        """Hand it no more."""
        self._clients.discard(client)

    def tail(self, after: Place, *, again: bool) -> Tail:
        """A tail of the client's own, to catch up with the feed."""
        return self._open_tail(after, again=again)

    async def _begin(self) -> None:
        if self._reading is None:
            tail = self._open_tail(None)
            await tail.attach()
            self._tail = tail
            self._reading = asyncio.create_task(self._read(tail), name="feed")

    async def _end(self) -> None:
        reading, self._reading = self._reading, None
        tail, self._tail = self._tail, None
        if reading is not None and tail is not None:
            await end(reading)
            await tail.close()

    async def _read(self, tail: Tail) -> None:
        while True:
            try:
                told = await tail.read(READ_SECONDS)
            except PlaylogError as error:
                _log.info("feed.away", code=error.code)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for portion in portions(told):
                for client in self._clients:
                    client.put(portion)


def portions(told: Iterable[Told]) -> Sequence[Portion]:
    """Messages as they are sent; what cannot be read has no events."""
    return [Portion(each.place, each.follows, tuple(_frames(each))) for each in told]


def place_text(place: Place) -> str:
    """The id that stands for a whole message."""
    return f"{place.generation}-{place.seq}"


def _frames(told: Told) -> Iterator[Frame]:
    try:
        message = orjson.loads(told.data)
        path, execution_id = message["path"], message["execution_id"]
        events = list(message["events"])
        for index, event in enumerate(events):
            yield _frame(told.place, index, path, {"execution_id": execution_id, "playbook": path, **event})
    except (LookupError, TypeError, ValueError):
        _log.warning("feed.unreadable", place=place_text(told.place))


def _frame(place: Place, index: int, path: str | None, event: Mapping[str, object]) -> Frame:
    sent = block(event, place=f"{place_text(place)}-{index}")
    return Frame(index, path, str(event["event_type"]), str(event["status"]), sent)
