from __future__ import annotations

import pytest

from engine import errors
from engine.runtime.atomic_batch import OutgoingMessage, encode


def test_a_message_becomes_one_command_of_the_protocol() -> None:
    lines = "Nats-Msg-Id: é\r\n".encode()
    message = OutgoingMessage(subject="playlog.events.1.17", payload=b'{"a":1}', header_lines=lines)
    assert message.headers == {"Nats-Msg-Id": "é"}
    head = "NATS/1.0\r\nNats-Batch-Sequence: 2\r\nNats-Msg-Id: é\r\n\r\n".encode()
    assert encode(message, b"Nats-Batch-Sequence: 2\r\n", 1000) == (
        b"HPUB playlog.events.1.17  %d %d\r\n" % (len(head), len(head) + 7) + head + b'{"a":1}\r\n'
    )


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB b 0", "ä", "a" * 1001, "a\tb", "a\x00"])
def test_a_subject_that_would_break_the_protocol_is_refused(subject: str) -> None:
    with pytest.raises(errors.Invalid):
        encode(OutgoingMessage(subject=subject, payload=b""), b"", 1000)


def test_a_message_larger_than_the_server_takes_is_refused() -> None:
    with pytest.raises(errors.TooLarge):
        encode(OutgoingMessage(subject="a", payload=b"x" * 1000), b"", 1000)
