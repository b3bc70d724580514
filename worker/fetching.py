"""The values that an input refers to: payloads, and what the items of maps gave."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from engine.domain.attempts import MAX_FETCHED_BYTES
from engine.domain.handles import (
    MapKey,
    PayloadKey,
    Referring,
    parse_map_uri,
    parse_uri,
    reference_at,
    replaced,
)
from engine.domain.map_output import ItemEvent, gathered
from engine.errors import Invalid
from worker.tools.contract import ToolFailed

if TYPE_CHECKING:
    from worker.api_client import InternalApi

OVERHEAD_BYTES = 4 * 2**20
"""What the log writes around the outputs of items."""


class Fetching:
    """Puts values in the place of references, each fetched once, 64 MiB at most."""

    def __init__(self, api: InternalApi) -> None:
        self._api = api
        self._left = MAX_FETCHED_BYTES + OVERHEAD_BYTES
        self._fetched: dict[str, object] = {}

    async def filled(self, value: object) -> object:
        """Return the value with what its references stand for, and with what that refers to again."""
        if not isinstance(value, Referring):
            return value
        parts = []
        for place in value.places:
            uri = reference_at(value.value, place)["uri"]
            if uri not in self._fetched:
                self._fetched[uri] = await self._fetch(uri)
            parts.append((place, self._fetched[uri]))
        return replaced(value.value, parts)

    async def _fetch(self, uri: str) -> object:
        key, of_map = parse_uri(uri), parse_map_uri(uri)
        try:
            if of_map is not None:
                return await self.filled(await self._gathered(of_map))
            if key is not None:
                return await self._payload(uri, key)
        except Invalid as refusal:
            raise ToolFailed(refusal.code, refusal.detail) from None
        raise ToolFailed("unknown_payload", f"{uri} is no address of a payload")

    async def _gathered(self, key: MapKey) -> object:
        """Return what a map gave, from the events of its items, page by page."""
        events: list[ItemEvent] = []
        total: int = 0
        after: int | None = 0
        while after is not None:
            data = await self._api.fetch_map(key, after)
            self._count(len(data))
            page = orjson.loads(data)
            total, after = page["total"], page["after"]
            events += [ItemEvent(*event) for event in page["events"]]
        return gathered(key, total, events)

    async def _payload(self, uri: str, key: PayloadKey) -> object:
        data = await self._api.fetch_payload(key)
        self._count(len(data))
        if sha256(data).digest() != key.sha256:
            raise ToolFailed("bad_payload", f"{uri} has another hash")
        try:
            content: object = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise ToolFailed("validation", f"{uri} is no JSON") from None
        return content

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            detail = f"the input refers to more than {MAX_FETCHED_BYTES} bytes"
            raise ToolFailed("value_too_large", detail)
