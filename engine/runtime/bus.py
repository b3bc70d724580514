"""What connects the processes, as its users see it: wakes, the stream of messages, and its consumer.

There are two of each: over NATS (`broker`, `stream`, `consumer`) and inside one process (`memory`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.runtime.atomic_batch import OutgoingMessage, PublishAck
    from engine.runtime.stream import StreamState

OnWake: TypeAlias = "Callable[[bytes], None]"


class Bus(Protocol):
    """Carries wakes; `epoch` grows whenever what is behind it may have become another."""

    @property
    def is_connected(self) -> bool:
        """Whether wakes arrive."""

    @property
    def epoch(self) -> int:
        """How often it was connected."""

    def announce(self, topic: str, body: bytes) -> None:
        """Wake whoever listens to the topic; never blocks, and a wake may be lost."""

    async def listen(self, topic: str, on_wake: OnWake) -> None:
        """Call `on_wake` with the body of each wake of the topic, and with `EVERYONE` at the beginning."""


class Stream(Protocol):
    """Takes messages in order; see `EventStream` for what each method raises."""

    async def ensure(self) -> None:
        """Make the stream if it is not there."""

    async def state(self) -> StreamState:
        """Return which stream it is and how far; to be asked before anything is published."""

    async def publish_one(self, message: OutgoingMessage) -> PublishAck:
        """Publish one message and wait until it is safe."""

    async def publish_atomic(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish messages, wait until all are safe, and return the sequence of the last."""


class Place(NamedTuple):
    """A message of the stream: generations and sequences only grow, except when the stream is lost."""

    generation: int
    seq: int


BEGINNING = Place(0, 0)
"""Before the first message of any stream."""


class Told(NamedTuple):
    """A message as a tail gives it; when it does not follow, messages before it may be missing."""

    place: Place
    data: bytes
    follows: bool


class Tail(Protocol):
    """Reads the stream from a place on, beside its consumers; what the stream forgets, it cannot tell.

    `place` is that of the last message given, after `attach` also where it begins: None stands for now.
    When the stream does not hold its place any more it goes on with the first message that there is, and
    `follows` is false until that is given. While `again` is set the message of the place is still to come.
    """

    place: Place | None
    follows: bool
    again: bool

    async def attach(self) -> None:
        """Find the place; raises `Unavailable` when the stream cannot be read."""

    async def read(self, wait_seconds: float) -> Sequence[Told]:
        """Return the next messages as soon as there is one, or none after so long."""

    async def close(self) -> None:
        """Read no more."""


class OpenTail(Protocol):
    """Makes a tail."""

    def __call__(self, after: Place | None, /, *, again: bool = False) -> Tail:
        """A tail that reads what comes after a place."""


class Delivered(Protocol):
    """A message as its consumer gets it; `reply` says where its acknowledgement belongs."""

    @property
    def subject(self) -> str:
        """The subject it was published with."""

    @property
    def data(self) -> bytes:
        """The payload."""

    @property
    def reply(self) -> str:
        """What distinguishes this delivery from every other."""


class Consumer(Protocol):
    """Reads the stream; what is not acknowledged comes again."""

    async def fetch(self, batch: int, wait_seconds: float) -> Sequence[Delivered]:
        """Return up to `batch` messages as soon as there is one, or none after `wait_seconds`."""

    def acknowledge(self, messages: Iterable[Delivered]) -> None:
        """Say that messages need not come again."""

    def hand_back(self, messages: Iterable[Delivered]) -> None:
        """Have messages delivered again at once."""

    async def close(self) -> None:
        """Hand back what arrived and was not fetched."""
