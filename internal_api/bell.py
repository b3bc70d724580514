"""Rings those who wait for commands: for as many as there are commands, and without polling in a loop.

A waiter is rung by this process's own commits, by other processes over the broker, when the pool's next
command becomes due, and by a slow look of its pool, for wakes that were lost.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import orjson

LOOK_SECONDS = (2.0, 3.0)
SOONEST_SECONDS = 0.02
LONGEST_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class Waiter:
    """One request that waits; `probes` when nobody knows how many commands there are."""

    picky: bool
    rung: asyncio.Event = field(default_factory=asyncio.Event)
    probes: bool = False
    looks: bool = False

    def ring(self, *, probes: bool, looks: bool) -> None:
        """Let the waiter claim; a slow look does not ask what is due next."""
        self.probes, self.looks = probes, looks
        self.rung.set()


class PoolQueue:
    """Those who wait for one pool, first come first rung."""

    def __init__(self) -> None:
        self.waiters: deque[Waiter] = deque()
        self._picky = 0
        self._look: asyncio.TimerHandle | None = None
        self._due: asyncio.TimerHandle | None = None

    def ring(self, count: int, *, probes: bool = False, looks: bool = False) -> None:
        """Ring `count` waiters who take any tool, and all who do not: what there is may be theirs."""
        for waiter in self.waiters:
            if count <= 0 and not self._picky:
                return
            if not waiter.rung.is_set() and (waiter.picky or count > 0):
                waiter.ring(probes=probes, looks=looks)
                count -= not waiter.picky

    def ring_in(self, seconds: float) -> None:
        """Ring one when the next command is due; the sooner of two moments counts."""
        loop = asyncio.get_running_loop()
        delay = min(LONGEST_SECONDS, max(SOONEST_SECONDS, seconds))
        if self._due is not None:
            if self._due.when() <= loop.time() + delay:
                return
            self._due.cancel()
        self._due = loop.call_later(delay, self._ring_due)

    def enter(self, waiter: Waiter) -> None:
        """Join the end of the queue."""
        self.waiters.append(waiter)
        self._picky += waiter.picky
        if self._look is None:
            self._look_later()

    def leave(self, waiter: Waiter) -> None:
        """Leave; a ring that was not used goes to the next."""
        self.waiters.remove(waiter)
        self._picky -= waiter.picky
        if waiter.rung.is_set():
            self.ring(1, probes=waiter.probes)
        if not self.waiters:
            self.close()

    def close(self) -> None:
        """Stop the timers."""
        for timer in (self._look, self._due):
            if timer is not None:
                timer.cancel()
        self._look = self._due = None

    def _ring_due(self) -> None:
        self._due = None
        self.ring(1, probes=True)

    def _look_later(self) -> None:
        seconds = random.uniform(*LOOK_SECONDS)  # noqa: S311 - spreads load, guards nothing
        self._look = asyncio.get_running_loop().call_later(seconds, self._ring_look)

    def _ring_look(self) -> None:
        self._look_later()
        self.ring(1, probes=True, looks=True)


class Bell:
    """The queues of all pools, and what rings them."""

    def __init__(self) -> None:
        self._queues: dict[str, PoolQueue] = {}
        self._echoes: Counter[bytes] = Counter()
        self.closed = False

    def ring(self, pools: Mapping[str, int]) -> None:
        """So many commands of these pools are new."""
        for pool, count in pools.items():
            queue = self._queues.get(pool)
            if queue is not None:
                queue.ring(count)

    def sent(self, body: bytes) -> None:
        """Note a wake that this process sent, which will come back and must not ring a second time."""
        self._echoes[body] += 1

    def heard(self, body: bytes) -> None:
        """Take a wake of the broker: commands by pool, or a reason to look at everything."""
        if self._echoes[body] > 0:
            self._echoes[body] -= 1
            self._echoes += Counter()
            return
        pools = _pools(body)
        if pools is not None:
            self.ring(pools)
            return
        self._echoes.clear()
        for queue in list(self._queues.values()):
            queue.ring(1, probes=True)

    @contextmanager
    def waiting(self, pool: str, *, picky: bool) -> Iterator[tuple[PoolQueue, Waiter]]:
        """Wait for commands of a pool inside the block; a picky waiter takes only some tools."""
        queue = self._queues.setdefault(pool, PoolQueue())
        waiter = Waiter(picky)
        queue.enter(waiter)
        try:
            yield queue, waiter
        finally:
            queue.leave(waiter)
            if not queue.waiters and self._queues.get(pool) is queue:
                del self._queues[pool]

    def close(self) -> None:
        """Send everyone home with what there is."""
        self.closed = True
        for queue in self._queues.values():
            for waiter in queue.waiters:
                waiter.rung.set()


def _pools(body: bytes) -> dict[str, int] | None:
    try:
        found = orjson.loads(body)
        return {str(pool): int(count) for pool, count in found.items()}
    except (ValueError, TypeError, AttributeError):
        return None
