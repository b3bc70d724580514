"""Messages as they go to JetStream: one with its acknowledgement, or up to 1,000 all-or-nothing."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import nats.errors
import orjson

from engine import errors
from engine.domain.messages import headers
from engine.runtime import metrics
from engine.runtime.broker import Refused, ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.runtime.wire import Wire

MOST_MESSAGES = 1000
MOST_BYTES = 8 * 2**20
MESSAGE_KNOWN = 10201
"""The `err_code` of a batch with a message id that is still in the duplicate window."""
NOT_ENABLED = 10174
"""The `err_code` of a batch for a stream without allow_atomic."""

_PUBLISH_SECONDS = 5.0
_LEAST_SECONDS = 0.1
_SUBJECT = re.compile(r"[\x21-\x7e]{1,1000}")
_HPUB = b"HPUB %b  %d %d\r\nNATS/1.0\r\n%b%b\r\n%b\r\n"
_HEAD_BYTES = len(b"NATS/1.0\r\n\r\n")
_BATCH_ID, _SEQUENCE, _COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"


class BatchRefused(Refused):
    """JetStream refused to store a message or a batch; nothing of it is stored."""


class OutgoingMessage(NamedTuple):
    r"""A message to publish: a subject of printable characters, and `Name: value\r\n` lines of headers."""

    subject: str
    payload: bytes
    header_lines: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        """The headers by name."""
        return headers(self.header_lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishAck:
    """Where a message is stored; a duplicate has the sequence of the first one."""

    seq: int
    duplicate: bool


async def publish_message(wire: Wire, message: OutgoingMessage) -> PublishAck:
    """Publish one message; see `EventStream.publish_one`."""
    encode(message, b"", wire.max_payload)
    answer = await _publish(wire, message, message.headers, _PUBLISH_SECONDS)
    return PublishAck(seq=int(answer["seq"]), duplicate=bool(answer.get("duplicate")))


async def publish_batch(wire: Wire, messages: Sequence[OutgoingMessage]) -> int:
    """Publish an atomic batch; see `EventStream.publish_atomic`.

    The first message answers at once, which proves that the stream takes batches before the rest is sent;
    only the last, which commits, answers again.
    """
    if not 1 <= len(messages) <= MOST_MESSAGES:
        raise ValueError(f"a batch has 1 to {MOST_MESSAGES} messages, not {len(messages)}")
    batch_id = uuid.uuid4().hex
    started = time.monotonic()
    frames = _frames(messages, batch_id, wire.max_payload)
    last = _headers(messages[-1], batch_id, len(messages)) | {_COMMIT: "1"}
    if len(messages) > 1:
        await _open(wire, messages[0], _headers(messages[0], batch_id, 1))
        _stream(wire, b"".join(frames[1:-1]))
    remaining = max(_LEAST_SECONDS, started + _PUBLISH_SECONDS - time.monotonic())
    answer = await _publish(wire, messages[-1], last, remaining)
    if answer.get("count") != len(messages):
        raise BatchRefused(0, "the server does not know atomic batches and stored the messages singly")
    return int(answer["seq"])


def encode(message: OutgoingMessage, more_lines: bytes, max_payload: int) -> bytes:
    """Return the HPUB command of a message; `more_lines` are header lines that come first.

    Raises:
        Invalid: a subject that would break the protocol.
        TooLarge: more bytes than the server takes, which would cost everyone the connection.
    """
    subject, payload, own = message
    if not _SUBJECT.fullmatch(subject):
        raise errors.Invalid("a subject has 1 to 1,000 printable ASCII characters without spaces")
    head = _HEAD_BYTES + len(more_lines) + len(own)
    size = head + len(payload)
    if size > max_payload:
        raise errors.TooLarge(f"the message has {size} bytes, NATS takes {max_payload}")
    return _HPUB % (subject.encode(), head, size, more_lines, own, payload)


def _frames(messages: Sequence[OutgoingMessage], batch_id: str, max_payload: int) -> list[bytes]:
    prefix = f"{_BATCH_ID}: {batch_id}\r\n{_SEQUENCE}: ".encode()
    frames = [
        encode(message, b"%b%d\r\n" % (prefix, sequence), max_payload)
        for sequence, message in enumerate(messages, start=1)
    ]
    if sum(map(len, frames)) > MOST_BYTES:
        raise ValueError(f"a batch has at most {MOST_BYTES} bytes, headers included")
    return frames


def _headers(message: OutgoingMessage, batch_id: str, sequence: int) -> dict[str, str]:
    return {**message.headers, _BATCH_ID: batch_id, _SEQUENCE: str(sequence)}


async def _open(wire: Wire, message: OutgoingMessage, headers: Mapping[str, str]) -> None:
    answer = await ask(wire, message.subject, message.payload, timeout=_PUBLISH_SECONDS, headers=headers)
    if answer.data:
        _decoded(answer.data)
        raise BatchRefused(0, "the server does not know atomic batches and stored the first message")


def _stream(wire: Wire, block: bytes) -> None:
    try:
        wire.write(block)
    except nats.errors.Error as error:
        raise errors.Unavailable("NATS is away", code="broker_away", retry_after=1) from error


async def _publish(
    wire: Wire, message: OutgoingMessage, headers: Mapping[str, str], seconds: float
) -> dict[str, Any]:
    try:
        answer = await ask(wire, message.subject, message.payload, timeout=seconds, headers=headers)
    except errors.Unavailable as error:
        if error.code == "broker_no_responders":
            raise
        code = "broker_not_accepting" if wire.is_connected else error.code
        raise errors.UnknownOutcome("NATS has not acknowledged", code=code, retry_after=1) from error
    return _decoded(answer.data)


def _decoded(data: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(data)
    error = answer.get("error")
    if error is not None:
        refused = BatchRefused(error.get("err_code", 0), error.get("description", ""))
        metrics.broker_refused.labels(str(refused.err_code)).inc()
        raise refused
    return answer
