"""Writing a stream: pings in between take nothing away, and what ends a stream ends its source."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from public_api import event_source
from public_api.event_source import Admitted, EventSources, Source

BLOCKS = [b"id: %d\n\n" % number for number in range(50)]


class Response:
    """A response whose every write takes some turns of the loop."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    async def write(self, block: bytes) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        self.written.append(block)


async def hesitant() -> Source:
    for number, block in enumerate(BLOCKS):
        for _ in range(number % 7):
            await asyncio.sleep(0)
        yield block


async def test_no_block_is_lost_to_a_ping_that_is_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_source, "PING_SECONDS", 0)
    response: Any = Response()
    request: Any = SimpleNamespace()
    await EventSources(1, 5.0)._pump(Admitted(request), response, hesitant(), lambda: event_source.PING)
    assert [block for block in response.written if block != event_source.PING] == BLOCKS
    assert event_source.PING in response.written
