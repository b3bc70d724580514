"""Requests that wait for a projection: woken by it, then reading once; many that wait read together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from engine.read.executions import Found
from engine.runtime.announcer import decode_wake
from public_api.watch import SAFETY_SECONDS, Watch, Watcher

REMEMBERED_SECONDS = 2 * SAFETY_SECONDS
MOST_REMEMBERED = 10_000

Read = Callable[[int], Awaitable[Found | None]]


@dataclass(slots=True, eq=False)
class Remembered(Watcher):
    """What a long wait saw last, for the next one of the same execution; good while it is not woken."""

    found: Found | None = None
    read_at: float = 0.0


@dataclass(slots=True)
class Waiters:
    """Who waits for which execution.

    A lost wake costs at most the time until the next look at all of them. Who waits in a chain of long
    requests costs the database nothing while nothing happens.
    """

    read: Read
    watch: Watch
    _remembered: dict[int, Remembered] = field(default_factory=dict)
    _looks: dict[int, asyncio.Task[Found | None]] = field(default_factory=dict)

    def heard(self, body: bytes) -> None:
        """Take a wake of the topic `snapshots`."""
        for execution_id in [pair[0] for pair in decode_wake(body)] or list(self._looks):
            self._looks.pop(execution_id, None)  # it may have begun before what this wake tells
        self.watch.heard(body)

    async def until(
        self,
        execution_id: int,
        first: Read,
        done: Callable[[Found | None], bool],
        *,
        seconds: float,
        least: int = 0,
    ) -> Found | None:
        """The execution as of the first look that is `done`, or of the last look in that time.

        `first` is the first look, which may raise. Wakes for versions below `least` are ignored. Raises
        `Unavailable` when it would have to wait while the process is stopping.
        """
        loop = asyncio.get_running_loop()
        began = read_at = loop.time()
        with self.watch.watching(execution_id) as watcher:
            known = self._recall(execution_id, seconds)
            if known is not None and not done(known.found):
                found, read_at = known.found, known.read_at
            else:
                found = await first(execution_id)
            while not done(found) and (left := began + seconds - loop.time()) > 0:
                watcher.beyond = max(least - 1, 0 if found is None else found.version)
                if not await self.watch.rest(watcher, left) and self.watch.looked_at >= began:
                    break
                read_at = loop.time()
                found = await self._look(execution_id)
            if seconds >= SAFETY_SECONDS and not done(found) and not watcher.woken.is_set():
                self._remember(execution_id, found, read_at)
        return found

    def _recall(self, execution_id: int, seconds: float) -> Remembered | None:
        """What is known without a look, for those who would wait longer than until the next one anyway."""
        known = self._remembered.get(execution_id)
        oldest = asyncio.get_running_loop().time() - REMEMBERED_SECONDS
        if known is None or known.woken.is_set() or seconds < SAFETY_SECONDS:
            return None
        return known if max(known.read_at, self.watch.looked_at) >= oldest else None

    def _remember(self, execution_id: int, found: Found | None, read_at: float) -> None:
        self._forget(execution_id)
        if len(self._remembered) < MOST_REMEMBERED:
            version = 0 if found is None else found.version
            known = Remembered(beyond=version, found=found, read_at=read_at)
            self._remembered[execution_id] = known
            self.watch.enter(execution_id, known)
            asyncio.get_running_loop().call_later(REMEMBERED_SECONDS, self._expire, execution_id, known)

    def _expire(self, execution_id: int, known: Remembered) -> None:
        if self._remembered.get(execution_id) is known:
            self._forget(execution_id)

    def _forget(self, execution_id: int) -> None:
        known = self._remembered.pop(execution_id, None)
        if known is not None:
            self.watch.leave(execution_id, known)

    async def _look(self, execution_id: int) -> Found | None:
        """Read, together with everyone who wants to since the last wake."""
        look = self._looks.get(execution_id)
        if look is None:
            look = asyncio.ensure_future(self.read(execution_id))
            self._looks[execution_id] = look
            look.add_done_callback(lambda done: self._end(execution_id, done))
        return await asyncio.shield(look)

    def _end(self, execution_id: int, look: asyncio.Future[Found | None]) -> None:
        if self._looks.get(execution_id) is look:
            del self._looks[execution_id]
        if not look.cancelled():
            look.exception()  # whoever asked may have gone; then nobody else takes note of it
