"""Reads the ends of logs for many followers: what is asked while a query runs is read by the next one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping

from engine.read.tails import Tail

LOGS_AT_ONCE = 32

Place = tuple[int, int]
ReadTails = Callable[[Iterable[Place]], Awaitable[Mapping[Place, Tail]]]


class TailReader:
    """One query at a time; followers who stand at the same place share what it finds."""

    def __init__(self, read: ReadTails) -> None:
        self._read = read
        self._asked: dict[Place, asyncio.Future[Tail | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def after(self, execution_id: int, version: int) -> Tail | None:
        """What follows a version, at most a page of it; None for no execution, or a purged one.

        It holds all that was committed before the call. Raises what reading raises.
        """
        place = (execution_id, version)
        answer = self._asked.get(place)
        if answer is None:
            answer = self._asked[place] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._serve())
        return await asyncio.shield(answer)

    async def close(self) -> None:
        """Give up what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _serve(self) -> None:
        try:
            while self._asked:
                places = list(itertools.islice(self._asked, LOGS_AT_ONCE))
                await self._answer({place: self._asked.pop(place) for place in places})
        finally:
            self._reading = None

    async def _answer(self, asked: dict[Place, asyncio.Future[Tail | None]]) -> None:
        try:
            found = await self._read(asked)
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            for answer in asked.values():
                answer.set_exception(error)
                answer.exception()  # whoever asked may have gone
        except asyncio.CancelledError:
            for answer in asked.values():
                answer.cancel()
            raise
        else:
            for place, answer in asked.items():
                answer.set_result(found.get(place))
