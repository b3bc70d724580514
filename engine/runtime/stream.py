"""The JetStream stream of events: made, kept in shape, watched for loss, and published to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from engine import errors
from engine.runtime import metrics
from engine.runtime.atomic_batch import OutgoingMessage, PublishAck, publish_batch, publish_message
from engine.runtime.broker import Refused, ask
from engine.runtime.stream_config import has_room, merged, wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.runtime.broker import Broker
    from engine.runtime.settings import BrokerSettings
    from engine.runtime.wire import Wire

STREAM_MISSING = 10059
"""The `err_code` for a stream that does not exist."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """What the server says of the stream at `moment`: `created` as stored, what was given out, what is held.

    `first_at` and `last_at` are when the oldest and the newest held message were stored. `has_room`: no
    limit but age removes messages now. `max_payload` is the most bytes that one message may have, headers
    included.
    """

    created: str
    moment: datetime
    first_seq: int
    first_at: datetime
    last_seq: int
    last_at: datetime
    messages: int
    has_room: bool
    allow_atomic: bool
    max_payload: int
    server_version: str


class EventStream:
    """The stream named in the settings.

    Publishing needs one `state()` since the last connection was made, because a server that was away may
    have come back with less than it had: without it `Unavailable` (`broker_unchecked`) is raised.
    """

    def __init__(self, broker: Broker, settings: BrokerSettings) -> None:
        self._broker = broker
        self._settings = settings
        self._checked_epoch = 0
        self.name = settings.stream

    async def ensure(self) -> None:
        """Create the stream, or give it what it lacks; larger limits of an operator stay.

        Raises:
            Refused: the server does not allow it, for instance for want of disk.
            Unavailable: no answer.
        """
        ours = wanted(self._settings)
        try:
            stored = (await self.api(f"STREAM.INFO.{self.name}"))["config"]
        except Refused as refused:
            if refused.err_code != STREAM_MISSING:
                raise
            await self.api(f"STREAM.CREATE.{self.name}", ours)
            _log.info("stream.created", stream=self.name)
            return
        better = merged(stored, ours)
        if better != stored:
            await self.api(f"STREAM.UPDATE.{self.name}", better)
            _log.info("stream.updated", stream=self.name)

    async def state(self) -> StreamState:
        """Ask for the stream's state, which also permits publishing over this connection.

        Raises:
            Refused: there is no such stream (`STREAM_MISSING`).
            Unavailable: no answer.
        """
        epoch, wire = self._broker.epoch, self._broker.wire()
        info = await _call(wire, f"STREAM.INFO.{self.name}", None)
        self._checked_epoch = epoch
        held = info["state"]
        return StreamState(
            created=info["created"],
            moment=datetime.fromisoformat(info["ts"]) if "ts" in info else datetime.now(UTC),
            first_seq=held["first_seq"],
            first_at=datetime.fromisoformat(held["first_ts"]),
            last_seq=held["last_seq"],
            last_at=datetime.fromisoformat(held["last_ts"]),
            messages=held["messages"],
            has_room=has_room(info["config"], held["bytes"]),
            allow_atomic=bool(info["config"].get("allow_atomic")),
            max_payload=wire.max_payload,
            server_version=wire.server_version,
        )

    async def publish_one(self, message: OutgoingMessage) -> PublishAck:
        """Publish one message and wait at most 5 s for its acknowledgement.

        Raises:
            BatchRefused: the server says no.
            UnknownOutcome: no answer; it may arrive, so repeat it with the same Nats-Msg-Id.
            Unavailable: not connected, not checked, or nobody stores this subject.
            Invalid, TooLarge: nothing was sent.
        """
        with metrics.broker_publish_seconds.labels("one").time():
            acknowledged = await publish_message(self._checked_wire(), message)
        metrics.broker_published.inc()
        return acknowledged

    async def publish_atomic(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish 1 to 1,000 messages of at most 8 MiB together: all are stored in this order, or none.

        Returns the sequence of the last. The caller splits: more is a ValueError.

        Raises:
            BatchRefused: nothing is stored; `err_code` `MESSAGE_KNOWN` says that a message id is known.
            UnknownOutcome: the end was sent and not answered; both are possible, 5 s have passed.
            Unavailable: not connected, not checked, or no answer to the first message.
            Invalid, TooLarge: nothing was sent.
        """
        with metrics.broker_publish_seconds.labels("batch").time():
            last_seq = await publish_batch(self._checked_wire(), messages)
        metrics.broker_published.inc(len(messages))
        return last_seq

    async def api(self, subject: str, body: object = None) -> dict[str, Any]:
        """Call the JetStream API (`subject` without `$JS.API.`) and return its answer.

        Raises:
            Refused: with the server's `err_code`.
            Unavailable: no answer.
        """
        return await _call(self._broker.wire(), subject, body)

    def _checked_wire(self) -> Wire:
        wire = self._broker.wire()
        if self._checked_epoch != self._broker.epoch:
            raise errors.Unavailable(
                "the stream is not checked since NATS came back", code="broker_unchecked"
            )
        return wire


async def _call(wire: Wire, subject: str, body: object) -> dict[str, Any]:
    payload = b"" if body is None else orjson.dumps(body)
    answer: dict[str, Any] = orjson.loads((await ask(wire, f"$JS.API.{subject}", payload)).data)
    error = answer.get("error")
    if error is not None:
        raise Refused(error.get("err_code", 0), error.get("description", ""))
    return answer
