"""Messages on their way to JetStream: in atomic batches, singly where the server does not take those."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine import errors
from engine.runtime import metrics
from engine.runtime.atomic_batch import (
    MOST_BYTES,
    MOST_MESSAGES,
    NOT_ENABLED,
    BatchRefused,
    OutgoingMessage,
)
from engine.runtime.bus import Stream

ID_NOT_TAKEN = 10177
"""The `err_code` of servers that take batches, but none with message ids."""
TOO_LARGE_FOR_STREAM = 10054
OUT_OF_ROOM = frozenset({10002, 10008, 10023, 10028, 10039, 10047, 10076, 10077, 10118})
"""The `err_code`s that speak of the server or the whole stream, never of one message."""

_OVERHEAD_BYTES = 1024
_START_SECONDS = 5.0
_AT_ONCE = 100


class StreamLost(errors.Unavailable):
    """The stream is not the one that was published to."""

    code = "stream_lost"


class Parcel(NamedTuple):
    """A message and the execution in whose order it stands."""

    execution_id: int
    message: OutgoingMessage

    @property
    def bytes(self) -> int:
        """An upper bound of what it takes on the wire."""
        subject, payload, lines = self.message
        return len(subject) + len(payload) + len(lines) + _OVERHEAD_BYTES


@dataclass(slots=True)
class Sent:
    """What became of parcels, by their index: stored ones, and refused ones with the reason.

    `last_seq` is the highest sequence acknowledged, `stopped` the error that ended sending early; what is
    neither stored nor refused was not tried, or its outcome is unknown.
    """

    stored: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    duplicates: int = 0
    last_seq: int = 0
    stopped: errors.PlaylogError | None = None


@dataclass(slots=True)
class _Doubt:
    """A refusal that concerns one message alone only if others are stored after it."""

    index: int
    stored_before: int
    error: BatchRefused


class Sender:
    """Sends parcels to one stream, each execution's in order, and remembers what the server can do."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.max_payload = 2**20
        self.allow_atomic = False

    async def send(self, parcels: Sequence[Parcel], expected_seq: int) -> Sent:
        """Send parcels in their order; of an execution nothing is sent after one that was not stored.

        No publish begins after 5 s, and each takes at most 5 s.

        Raises:
            StreamLost: a sequence not above `expected_seq` was given out.
        """
        sending = _Sending(self._stream, parcels, expected_seq)
        for batch in self._batches(parcels, sending.sent):
            indices = [index for index in batch if parcels[index].execution_id not in sending.failed]
            if sending.is_over:
                break
            if not self.allow_atomic or len(indices) <= 1:
                await sending.singly(indices)
            elif (refused := await sending.together(indices)) is not None:
                if isinstance(refused, BatchRefused) and refused.err_code in {0, NOT_ENABLED, ID_NOT_TAKEN}:
                    self.allow_atomic = False
                await sending.singly(indices)
        return sending.finish()

    def _batches(self, parcels: Sequence[Parcel], sent: Sent) -> Iterator[list[int]]:
        """Indices by batch; too large messages are refused, later ones of their execution left out."""
        batch: list[int] = []
        size = 0
        held_back: set[int] = set()
        most = min(self.max_payload, MOST_BYTES)
        for index, parcel in enumerate(parcels):
            if parcel.execution_id in held_back:
                continue
            needed = parcel.bytes
            if needed > most:
                held_back.add(parcel.execution_id)
                sent.refused[index] = (
                    f"the message has {len(parcel.message.payload)} bytes, NATS takes {self.max_payload}"
                )
                continue
            if batch and (len(batch) == MOST_MESSAGES or size + needed > MOST_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(index)
            size += needed
        if batch:
            yield batch


class _Sending:
    """One call of `send`."""

    def __init__(self, stream: Stream, parcels: Sequence[Parcel], expected_seq: int) -> None:
        self.sent = Sent()
        self.failed: set[int] = set()
        self._stream = stream
        self._parcels = parcels
        self._expected_seq = expected_seq
        self._doubts: list[_Doubt] = []
        self._deadline = time.monotonic() + _START_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be sent."""
        return self.sent.stopped is not None or time.monotonic() > self._deadline

    async def together(self, indices: Sequence[int]) -> errors.PlaylogError | None:
        """Send one atomic batch; returns the refusal after which it should be sent singly."""
        try:
            last_seq = await self._stream.publish_atomic([self._parcels[index].message for index in indices])
        except BatchRefused as refused:
            if refused.err_code not in OUT_OF_ROOM:
                return refused
            self.sent.stopped = not_accepting(refused)
        except (errors.Invalid, errors.TooLarge) as error:
            return error
        except (errors.Unavailable, errors.UnknownOutcome) as error:
            self.sent.stopped = error
        else:
            self._accept(last_seq - len(indices) + 1, last_seq)
            self.sent.stored += indices
            metrics.publisher_batch_messages.observe(len(indices))
        return None

    async def singly(self, indices: Sequence[int]) -> None:
        """Send with at most one message in flight an execution, and none of it after its first failure."""
        chains: dict[int, list[int]] = defaultdict(list)
        for index in indices:
            chains[self._parcels[index].execution_id].append(index)
        waiting = iter(chains.values())

        async def work() -> None:
            for chain in waiting:
                for index in chain:
                    if self.is_over or not await self._one(index):
                        self.failed.add(self._parcels[index].execution_id)
                        break

        workers = [asyncio.create_task(work()) for _ in range(min(_AT_ONCE, len(chains)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def finish(self) -> Sent:
        """Judge the refusals: parked are those after which others were stored."""
        for doubt in self._doubts:
            if doubt.stored_before < len(self.sent.stored) or doubt.error.err_code == TOO_LARGE_FOR_STREAM:
                self.sent.refused[doubt.index] = doubt.error.detail
            elif self.sent.stopped is None:
                self.sent.stopped = not_accepting(doubt.error)
        return self.sent

    async def _one(self, index: int) -> bool:
        try:
            acknowledged = await self._stream.publish_one(self._parcels[index].message)
        except BatchRefused as refused:
            if refused.err_code in OUT_OF_ROOM:
                self.sent.stopped = not_accepting(refused)
            else:
                self._doubts.append(_Doubt(index, len(self.sent.stored), refused))
            return False
        except (errors.Unavailable, errors.UnknownOutcome) as error:
            self.sent.stopped = error
            return False
        except (errors.Invalid, errors.TooLarge) as error:
            self.sent.refused[index] = error.detail
            return False
        if acknowledged.duplicate:
            self.sent.duplicates += 1
            self.sent.last_seq = max(self.sent.last_seq, acknowledged.seq)
        else:
            self._accept(acknowledged.seq, acknowledged.seq)
        self.sent.stored.append(index)
        return True

    def _accept(self, first_seq: int, last_seq: int) -> None:
        if first_seq <= self._expected_seq:
            raise StreamLost
        self.sent.last_seq = max(self.sent.last_seq, last_seq)


def not_accepting(refused: BatchRefused) -> errors.Unavailable:
    """The error for a broker that answers and stores nothing."""
    return errors.Unavailable(
        f"NATS stores nothing: {refused.description}", code="broker_not_accepting", retry_after=1
    )
