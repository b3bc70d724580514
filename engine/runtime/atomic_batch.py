"""Messages as they go to JetStream: one with its acknowledgement, or up to 1,000 all-or-nothing."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nats.errors
import orjson

from engine import errors
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
_BATCH_ID, _SEQUENCE, _COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"


class BatchRefused(Refused):
    """JetStream refused to store a message or a batch; nothing of it is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """A message to publish: subject of 1 to 1,000 printable characters, headers without line breaks."""

    subject: str
    payload: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishAck:
    """Where a message is stored; a duplicate has the sequence of the first one."""

    seq: int
    duplicate: bool


async def publish_message(wire: Wire, message: OutgoingMessage) -> PublishAck:
    """Publish one message; see `EventStream.publish_one`."""
    encode(message, "", wire.max_payload)
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


def encode(message: OutgoingMessage, more_headers: str, max_payload: int) -> bytes:
    r"""Return the HPUB command of a message; `more_headers` is `Name: value\r\n` lines that come first.

    Raises:
        Invalid: a subject or header that would break the protocol.
        TooLarge: more bytes than the server takes, which would cost everyone the connection.
    """
    if not _SUBJECT.fullmatch(message.subject):
        raise errors.Invalid("a subject has 1 to 1,000 printable ASCII characters without spaces")
    own = "".join([f"{name}: {value}\r\n" for name, value in message.headers.items()])
    if own.count("\n") != len(message.headers) or own.count("\r") != len(message.headers):
        raise errors.Invalid("a header of a message holds a line break")
    head = f"NATS/1.0\r\n{more_headers}{own}\r\n".encode()
    size = len(head) + len(message.payload)
    if size > max_payload:
        raise errors.TooLarge(f"the message has {size} bytes, NATS takes {max_payload}")
    return b"HPUB %b  %d %d\r\n%b%b\r\n" % (message.subject.encode(), len(head), size, head, message.payload)


def _frames(messages: Sequence[OutgoingMessage], batch_id: str, max_payload: int) -> list[bytes]:
    prefix = f"{_BATCH_ID}: {batch_id}\r\n{_SEQUENCE}: "
    frames = [
        encode(message, f"{prefix}{sequence}\r\n", max_payload)
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
