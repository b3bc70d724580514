"""Large values on their way: outputs are stored before they settle, inputs fetched before they are used."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from engine.domain.handles import MOST_BYTES, PayloadKey, Referring
from engine.errors import Invalid, TooLarge
from worker.commands import INLINE_BYTES, Command, Result, completed, referring
from worker.fetching import Fetching
from worker.tools.contract import ToolFailed

if TYPE_CHECKING:
    from worker.api_client import InternalApi
    from worker.masking import Mask


class Payloads:
    """Moves large values between tools and the internal API; it waits while the API is away."""

    def __init__(self, api: InternalApi) -> None:
        self._api = api

    async def result(self, command: Command, output: object, started_at: str, mask: Mask) -> Result:
        """Return the result for what a tool returned, masked; above 64 KiB it is stored and referred to.

        Raises `ToolFailed`: `validation` for what is not JSON, `output_too_large` above 16 MiB.
        """
        try:
            data = b"null" if output is None else orjson.dumps(mask.value(output))
        except TypeError as error:
            raise ToolFailed("validation", f"not JSON: {error}") from None
        if len(data) <= INLINE_BYTES:
            return completed(command, data, started_at)
        if len(data) > MOST_BYTES:
            raise ToolFailed("output_too_large", f"the output is {len(data)} bytes, {MOST_BYTES} are allowed")
        key = PayloadKey(int(command.execution_id), sha256(data).digest())
        try:
            await self._api.store_payload(key, data)
        except TooLarge as refusal:
            raise ToolFailed("output_too_large", refusal.detail) from None
        except Invalid as refusal:
            raise ToolFailed(refusal.code, refusal.detail) from None
        return referring(command, key.uri, started_at)

    async def input(self, command: Command) -> object:
        """Return the command's input with everything that it refers to in place.

        Raises `ToolFailed` when something is gone, and `value_too_large` beyond 64 MiB.
        """
        if not command.handles:
            return command.input
        return await Fetching(self._api).filled(Referring(command.input, command.handles))
