"""Fresh ids from the database in blocks, so that most transactions need no statement for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import asyncpg

from sql import queries

SQL = queries.load("append")

BLOCK = 256
FRESH_SECONDS = 1.0


class IdBlock:
    """A block of ids; one older than a second is thrown away, so that ids stay ordered by time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.ids: deque[int] = deque()
        self._clock = clock
        self._fetched_at = 0.0

    async def ensure(self, connection: asyncpg.Connection, count: int) -> deque[int]:
        """At least `count` fresh ids, lowest first."""
        if self._clock() - self._fetched_at > FRESH_SECONDS:
            self.ids.clear()
        if len(self.ids) < count:
            self.ids.extend(await connection.fetchval(SQL.new_ids, max(BLOCK, count)))
            self._fetched_at = self._clock()
        return self.ids

    async def take(self, connection: asyncpg.Connection) -> int:
        """One fresh id."""
        return (await self.ensure(connection, 1)).popleft()
