"""Requests that wait for a projection: woken by it, then reading once; many that wait read together."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from engine.errors import Unavailable
from engine.read.executions import Found
from engine.runtime.announcer import decode_wake
from public_api.fields import MAX_VERSION

SAFETY_SECONDS = 5.0
JITTER = 0.2

Read = Callable[[int], Awaitable[Found | None]]


@dataclass(slots=True, eq=False)
class Waiter:
    """One waiting request; a wake for a version below `least` is not its business."""

    least: int = 0
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Waiters:
    """Who waits for which execution. A lost wake costs at most a look every five seconds."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._waiting: dict[int, set[Waiter]] = defaultdict(set)
        self._looks: dict[int, asyncio.Task[Found | None]] = {}
        self._is_closing = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def heard(self, body: bytes) -> None:
        """Take a wake of the topic `snapshots`; an empty one is for everyone."""
        pairs = decode_wake(body) or [(execution_id, MAX_VERSION) for execution_id in self._waiting]
        for execution_id, version in pairs:
            self._looks.pop(execution_id, None)  # it may have begun before what this wake tells
            for waiter in self._waiting.get(execution_id, ()):
                if version >= waiter.least:
                    waiter.woken.set()

    def close(self) -> None:
        """Let everyone go; from now on waiting raises `Unavailable`."""
        self._is_closing = True
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.woken.set()

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
        deadline = loop.time() + seconds
        with self._registered(execution_id) as waiter:
            found = await first(execution_id)
            while not done(found) and (left := deadline - loop.time()) > 0:
                waiter.least = max(least, 0 if found is None else found.version + 1)
                await self._rest(waiter, min(left, _safety_seconds()))
                found = await self._look(execution_id)
        return found

    @contextlib.contextmanager
    def _registered(self, execution_id: int) -> Iterator[Waiter]:
        waiter = Waiter()
        self._waiting[execution_id].add(waiter)
        try:
            yield waiter
        finally:
            self._waiting[execution_id].discard(waiter)
            if not self._waiting[execution_id]:
                del self._waiting[execution_id]

    async def _rest(self, waiter: Waiter, seconds: float) -> None:
        if not self._is_closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter.woken.wait()
        if self._is_closing:
            raise Unavailable("the process is stopping", retry_after=1)
        waiter.woken.clear()

    async def _look(self, execution_id: int) -> Found | None:
        """Read, together with everyone who wants to since the last wake."""
        look = self._looks.get(execution_id)
        if look is None:
            look = asyncio.ensure_future(self._read(execution_id))
            self._looks[execution_id] = look
            look.add_done_callback(lambda done: self._forget(execution_id, done))
        return await asyncio.shield(look)

    def _forget(self, execution_id: int, look: asyncio.Future[Found | None]) -> None:
        if self._looks.get(execution_id) is look:
            del self._looks[execution_id]
        if not look.cancelled():
            look.exception()  # whoever asked may have gone; then nobody else takes note of it


def _safety_seconds() -> float:
    return SAFETY_SECONDS * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing
