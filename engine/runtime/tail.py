"""The end of the stream, read by many without a trace: in order, from any place, over losses too."""

from __future__ import annotations

import base64
import contextlib
import secrets
from typing import TYPE_CHECKING, Any

from engine import errors
from engine.domain.subjects import generation_of
from engine.runtime.broker import Refused
from engine.runtime.bus import BEGINNING, Place, Told
from engine.runtime.consumer import PullConsumer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.runtime.broker import Broker
    from engine.runtime.stream import EventStream, StreamState

BATCH = 256
NO_MESSAGE = 10037
"""The `err_code` for a sequence that the stream does not hold."""

_MESSAGE_ID = "Nats-Msg-Id"
_INACTIVE_SECONDS = 60


class StreamTail(PullConsumer):
    """Reads the stream after a place without acknowledging anything; see `Tail`."""

    most_bytes = 2 * 2**20

    def __init__(
        self, broker: Broker, stream: EventStream, after: Place | None, *, again: bool = False
    ) -> None:
        super().__init__(broker, stream, "tail")
        self.again = again
        self._expected = 1
        self.place = after
        self.follows = True

    async def attach(self) -> None:
        """Find the place.

        Raises:
            Unavailable: no answer, or there is no stream.
        """
        if self._epoch != self._broker.epoch:
            await self._attach(self._broker.wire())

    async def ensure(self) -> None:
        """Make the consumer that goes on at the place; the server forgets it after a minute of silence."""
        state = await self._stream.state()
        start = await self._start(state)
        self._durable = f"tail-{secrets.token_hex(8)}"
        self._expected = 1
        config = {
            "name": self._durable,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(start, 1),
            "inactive_threshold": _INACTIVE_SECONDS * 1_000_000_000,
            "mem_storage": True,
            "num_replicas": 1,
        }
        body = {"stream_name": self._stream.name, "config": config}
        await self._stream.api(f"CONSUMER.CREATE.{self._stream.name}.{self._durable}", body)

    async def read(self, wait_seconds: float) -> Sequence[Told]:
        """Return the next messages as soon as there is one, or none after `wait_seconds`.

        Raises:
            Unavailable: not connected, or no answer.
        """
        told: list[Told] = []
        for message in await self.fetch(BATCH, wait_seconds):
            numbers = message.metadata.sequence
            if numbers.consumer != self._expected:
                self._epoch = 0  # a delivery was lost on the way: begin again behind the last one
                break
            self._expected += 1
            self.place = Place(generation_of((message.headers or {}).get(_MESSAGE_ID, "")), numbers.stream)
            told.append(Told(self.place, message.data, follows=self.follows))
            self.follows, self.again = True, False
        return told

    async def close(self) -> None:
        """End the open request and have the server forget the consumer."""
        is_attached = self._epoch == self._broker.epoch
        await super().close()
        if is_attached:
            with contextlib.suppress(errors.Unavailable):
                await self._stream.api(f"CONSUMER.DELETE.{self._stream.name}.{self._durable}")

    async def _start(self, state: StreamState) -> int:
        if self.place is None:
            generation = await self._generation(state.last_seq)
            self.place = Place(generation, state.last_seq) if generation else BEGINNING
            return state.last_seq + 1
        if await self._is_held(self.place, state):
            return self.place.seq + (not self.again)
        self.place, self.follows, self.again = BEGINNING, False, False
        return state.first_seq

    async def _is_held(self, place: Place, state: StreamState) -> bool:
        if place.seq == 0:
            return state.first_seq <= 1
        if not state.first_seq <= place.seq <= state.last_seq:
            return False
        return await self._generation(place.seq) == place.generation

    async def _generation(self, seq: int) -> int:
        """The generation of a message, 0 when it is not held."""
        if seq == 0:
            return 0
        try:
            found: dict[str, Any] = await self._stream.api(
                f"STREAM.MSG.GET.{self._stream.name}", {"seq": seq}
            )
        except Refused as refused:
            if refused.err_code != NO_MESSAGE:
                raise
            return 0
        return generation_of(_message_id(found["message"].get("hdrs", "")))


def _message_id(encoded_headers: str) -> str:
    lines = base64.b64decode(encoded_headers).decode(errors="replace").splitlines()
    named = [line.partition(":") for line in lines]
    return next((value.strip() for name, _, value in named if name == _MESSAGE_ID), "")
