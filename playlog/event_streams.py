"""Reading server-sent events: block by block, and again after the last one when the connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

import aiohttp
import orjson
from pydantic import JsonValue

from playlog.problems import ApiError, ApiUnreachable, document_of, reason_of

SILENT_SECONDS = 45.0
"""The server says something every 15 seconds; after so long it is gone."""
FIRST_PAUSE, LONGEST_PAUSE, MAX_FAILURES = 0.1, 5.0, 15
BUSY = frozenset({429, 503})
MESSAGE, END = "message", "end"

Connect = Callable[[Mapping[str, str]], AbstractAsyncContextManager[aiohttp.ClientResponse]]
"""Begins the request, with these headers."""


class Sent(NamedTuple):
    """An event as it was sent: its name, the id to go on after, its data."""

    event: str
    id: str
    data: JsonValue


@dataclass(slots=True)
class EventStream:
    """One stream, over as many connections as it takes; `last_id` is where it has come to.

    An API that is away or busy is asked again for a minute or so.
    """

    url: str
    connect: Connect
    last_id: str | None = None
    retry_seconds: float = FIRST_PAUSE
    failures: int = 0
    is_over: bool = False

    async def __aiter__(self) -> AsyncIterator[Sent]:
        """Each event, until the stream says that it is over.

        Raises `ApiError` and `ApiUnreachable`.
        """
        while True:
            try:
                async with self.connect(self._headers()) as answer:
                    async for sent in self._sent(answer):
                        self.failures = 0
                        yield sent
            except (aiohttp.ClientError, ApiError, ApiUnreachable, TimeoutError) as error:
                await self._pause_or_raise(error)
            else:
                if self.is_over:
                    return
                await asyncio.sleep(self.retry_seconds)

    async def _sent(self, answer: aiohttp.ClientResponse) -> AsyncIterator[Sent]:
        if answer.status == HTTPStatus.NO_CONTENT:
            self.is_over = True
            return
        if answer.status != HTTPStatus.OK:
            document_of(self.url, answer.status, await answer.read())
            raise ApiUnreachable(self.url, f"status {answer.status} without events")
        fields: dict[str, str] = {}
        while line := await answer.content.readline():
            text = line.decode().rstrip("\r\n")
            if text:
                name, _, value = text.partition(":")
                fields[name] = value.removeprefix(" ")
                continue
            sent = self._take(fields)
            fields = {}
            if sent is not None:
                yield sent

    def _take(self, fields: Mapping[str, str]) -> Sent | None:
        """Note what a block says of the stream itself; its event, if it has one."""
        self.last_id = fields.get("id", self.last_id)
        if fields.get("retry", "").isdecimal():
            self.retry_seconds = min(LONGEST_PAUSE, int(fields["retry"]) / 1000)
        if "data" not in fields:
            return None
        kind = fields.get("event", MESSAGE)
        self.is_over = kind == END
        return Sent(kind, self.last_id or "", orjson.loads(fields["data"]))

    def _headers(self) -> dict[str, str]:
        return {} if self.last_id is None else {"Last-Event-ID": self.last_id}

    async def _pause_or_raise(self, error: Exception) -> None:
        self.failures += 1
        known = error if isinstance(error, ApiError | ApiUnreachable) else None
        is_passing = known is None or isinstance(known, ApiUnreachable) or known.status in BUSY
        if not is_passing or self.failures > MAX_FAILURES:
            raise known or ApiUnreachable(self.url, reason_of(error)) from None
        await asyncio.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2**self.failures))
