"""A client of event streams for tests: what was sent, block by block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson


@dataclass(frozen=True, slots=True)
class Sent:
    """One event: its name, the id to go on after, its data."""

    event: str
    id: str | None
    data: Any


class Source:
    """An open stream; comments, hints and bare ids are passed over."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id: str | None = None

    async def next(self, seconds: float = 10.0) -> Sent | None:
        """The next event, None at the end of the stream."""
        async with asyncio.timeout(seconds):
            while (fields := await self._block()) is not None:
                self.last_id = fields.get("id", self.last_id)
                if "data" in fields:
                    data = orjson.loads(fields["data"])
                    return Sent(fields.get("event", "message"), fields.get("id"), data)
        return None

    async def take(self, count: int) -> list[Sent]:
        """So many events."""
        found = [await self.next() for _ in range(count)]
        assert None not in found, found
        return [each for each in found if each is not None]

    async def rest(self) -> list[Sent]:
        """All events until the stream ends."""
        found = []
        while (each := await self.next()) is not None:
            found.append(each)
        return found

    async def _block(self) -> dict[str, str] | None:
        fields: dict[str, str] = {}
        while line := await self.response.content.readline():
            text = line.decode().rstrip("\n")
            if not text:
                return fields
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
        return None


@contextlib.asynccontextmanager
async def listening(
    session: aiohttp.ClientSession, path: str, *, last_event_id: str | None = None
) -> AsyncIterator[Source]:
    """Open a stream, which must be one."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(f"/api/v1{path}", headers=headers, timeout=timeout) as response:
        assert response.status == 200, await response.read()
        assert response.content_type == "text/event-stream"
        yield Source(response)
