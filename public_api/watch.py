"""Who waits for news of which executions: told by wakes, and by one slow look for all of them together."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.errors import Unavailable
from engine.runtime.announcer import decode_wake

SAFETY_SECONDS = 5.0
JITTER = 0.2
LOOKED_AT_ONCE = 5_000

Levels = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]
"""How far executions are, by id; one that is left out is at nothing."""


@dataclass(slots=True, eq=False)
class Watcher:
    """Someone who waits; news that are not `beyond` what is known already are not its business.

    `level` is the highest that it was told of.
    """

    beyond: int = -1
    level: int = -1
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, level: int) -> None:
        """Wake it if that is news."""
        self.level = max(self.level, level)
        if level > self.beyond:
            self.woken.set()


class Watch:
    """Watchers by execution. `looked_at` is when (time of the loop) the last look at all of them began."""

    def __init__(self, levels: Levels) -> None:
        self._levels = levels
        self._watchers: dict[int, set[Watcher]] = defaultdict(set)
        self.doubtful = asyncio.Event()
        self.looked_at = float("-inf")
        self.is_closing = False

    def __len__(self) -> int:
        return sum(map(len, self._watchers.values()))

    @contextlib.contextmanager
    def watching(self, execution_id: int) -> Iterator[Watcher]:
        """A watcher for the block."""
        watcher = Watcher()
        self.enter(execution_id, watcher)
        try:
            yield watcher
        finally:
            self.leave(execution_id, watcher)

    def watchers(self) -> Iterator[Watcher]:
        """Everyone who is told."""
        for watchers in self._watchers.values():
            yield from watchers

    def enter(self, execution_id: int, watcher: Watcher) -> None:
        """Tell a watcher from now on."""
        self._watchers[execution_id].add(watcher)

    def leave(self, execution_id: int, watcher: Watcher) -> None:
        """Tell it no more."""
        self._watchers[execution_id].discard(watcher)
        if not self._watchers[execution_id]:
            del self._watchers[execution_id]

    def heard(self, body: bytes) -> None:
        """Take a wake; one for everyone asks for a look (`doubtful`)."""
        pairs = decode_wake(body)
        if not pairs and self._watchers:
            self.doubtful.set()
        for execution_id, level in pairs:
            self._tell(execution_id, level)

    async def look(self) -> None:
        """Ask how far all watched executions are, some thousands at once, and tell who does not know."""
        began = asyncio.get_running_loop().time()
        watched = list(self._watchers)
        for start in range(0, len(watched), LOOKED_AT_ONCE):
            for execution_id, level in (await self._levels(watched[start : start + LOOKED_AT_ONCE])).items():
                self._tell(execution_id, level)
        self.looked_at = began

    async def rest(self, watcher: Watcher, seconds: float | None = None) -> bool:
        """Wait until there are news and return True, or False after so many seconds.

        Raises `Unavailable` when the process is stopping.
        """
        if not self.is_closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await watcher.woken.wait()
        if self.is_closing:
            raise Unavailable("the process is stopping", retry_after=1)
        was_woken = watcher.woken.is_set()
        watcher.woken.clear()
        return was_woken

    def close(self) -> None:
        """Let everyone go; from now on waiting raises `Unavailable`."""
        self.is_closing = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.woken.set()

    def _tell(self, execution_id: int, level: int) -> None:
        for watcher in self._watchers.get(execution_id, ()):
            watcher.tell(level)


class SafetyLook:
    """The role that looks after lost wakes: a few queries every five seconds, none when nobody waits."""

    name = "safety-look"

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches
        self.wake = asyncio.Event()
        for watch in watches:
            watch.doubtful = self.wake

    async def step(self) -> float:
        """Look at everything that is watched."""
        for watch in self._watches:
            await watch.look()
        return SAFETY_SECONDS * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing
