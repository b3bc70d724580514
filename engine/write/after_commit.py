"""What follows a COMMIT: wake those who wait elsewhere, and carry messages to other executions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import orjson

from engine.domain.subjects import APPENDED_TOPIC
from engine.write import deliveries
from engine.write.definitions import Definitions
from engine.write.executions import Checkout
from engine.write.requests import Committed, Delivery
from engine.write.writer import Appender

WAKE_SECONDS = 0.010
DELIVERIES_A_PASS = 100
DELIVERIES_KEPT = 10_000
"""Beyond these the oldest are left to the scheduler, which looks after a second."""
IDLE_SECONDS = 60.0
MOST_PAIRS = 200

OUTBOX_TOPIC = "outbox"
COMMANDS_TOPIC = "commands"

Send = Callable[[str, bytes], None]


class AfterCommit:
    """The `announce` of an appender: the first wake goes out at once, later ones at most every 10 ms.

    `send(topic, body)` must not block or raise. Listeners in this process are called without delay.
    """

    def __init__(self, send: Send) -> None:
        self.listeners: list[Callable[[Committed], None]] = []
        self.deliveries: deque[Delivery] = deque(maxlen=DELIVERIES_KEPT)
        self.delivery_wake = asyncio.Event()
        self._send = send
        self._pools: dict[str, int] = {}
        self._versions: dict[int, int] = {}
        self._outbox = False
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, committed: Committed) -> None:
        """Take note of one committed transaction."""
        for listener in self.listeners:
            listener(committed)
        if committed.deliveries:
            self.deliveries.extend(committed.deliveries)
            self.delivery_wake.set()
        for pool, count in committed.pools.items():
            self._pools[pool] = self._pools.get(pool, 0) + count
        self._versions |= committed.versions
        self._outbox = self._outbox or bool(committed.shards)
        if self._timer is None:
            self._flush()

    def close(self) -> None:
        """Send what is pending and stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send_pending()

    def _flush(self) -> None:
        self._timer = None
        if self._pools or self._outbox or self._versions:
            self._send_pending()
            self._timer = asyncio.get_running_loop().call_later(WAKE_SECONDS, self._flush)

    def _send_pending(self) -> None:
        if self._outbox:
            self._send(OUTBOX_TOPIC, b"")
        if self._pools:
            self._send(COMMANDS_TOPIC, orjson.dumps(self._pools))
        pairs = list(self._versions.items())
        for start in range(0, len(pairs), MOST_PAIRS):
            self._send(APPENDED_TOPIC, orjson.dumps(pairs[start : start + MOST_PAIRS]))
        self._pools = {}
        self._versions = {}
        self._outbox = False


class DeliveryRole:
    """Carries out the deliveries of this process's own commits right away; the scheduler takes the rest."""

    name = "deliveries"

    def __init__(self, after: AfterCommit, appender: Appender, checkout: Checkout) -> None:
        self._after = after
        self._appender = appender
        self._checkout = checkout
        self._definitions = Definitions()

    async def step(self) -> float:
        """Carry out what has queued up, oldest first."""
        queue = self._after.deliveries
        if not queue:
            return IDLE_SECONDS
        batch = [queue.popleft() for _ in range(min(len(queue), DELIVERIES_A_PASS))]
        async with self._checkout() as connection:
            await deliveries.carry_out(connection, self._appender, self._definitions, batch)
        return 0.0
