"""Merges wake-ups: the first goes out at once, later ones together, at most every 10 ms."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_SECONDS = 0.010
MOST_PAIRS = 200
EVERYONE = b"[]"
"""A wake that names no execution: anything may have changed."""


class Later(Protocol):
    """Calls something after some seconds, as `loop.call_later` does."""

    def __call__(self, delay: float, callback: Callable[[], None], /) -> asyncio.TimerHandle:
        """Call `callback` after `delay` seconds."""


class Announcer:
    """Collects (execution_id, version) pairs and sends them as wake bodies of at most 200 pairs.

    Of several versions of one execution only the highest is sent. Without a send for 10 ms the next pair
    goes out at once; `send` must not block or raise.
    """

    def __init__(self, send: Callable[[bytes], None], *, later: Later | None = None) -> None:
        self._send = send
        self._later = later
        self._pending: dict[int, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, execution_id: int, version: int) -> None:
        """Announce that an execution has reached a version."""
        if version > self._pending.get(execution_id, 0):
            self._pending[execution_id] = version
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
        if self._pending:
            self._send_pending()
            later = self._later or asyncio.get_running_loop().call_later
            self._timer = later(INTERVAL_SECONDS, self._flush)

    def _send_pending(self) -> None:
        pairs = list(self._pending.items())
        self._pending.clear()
        for start in range(0, len(pairs), MOST_PAIRS):
            self._send(orjson.dumps(pairs[start : start + MOST_PAIRS]))


def decode_wake(body: bytes) -> list[tuple[int, int]]:
    """Return the (execution_id, version) pairs of a wake; empty, also for an unreadable one: look at all."""
    try:
        return [(int(execution_id), int(version)) for execution_id, version in orjson.loads(body)]
    except (ValueError, TypeError):
        return []
