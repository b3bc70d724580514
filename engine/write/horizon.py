"""Which execution ids the log takes now: not below the retention floor, not far in the future."""

from __future__ import annotations

import time
from datetime import timedelta

import asyncpg

from engine.domain.ids import first_id_at
from engine.domain.json_values import Unstorable
from sql import queries

SQL = queries.load("purge")

AHEAD = timedelta(days=1)
FLOOR_SECONDS = 10.0


class Horizon:
    """Judges execution ids before anything is tried; the floor is read again every ten seconds."""

    def __init__(self) -> None:
        self._floor = 0
        self._ceiling = 0
        self._read_at: float | None = None

    @property
    def is_old(self) -> bool:
        """Whether the floor has to be read before ids can be judged."""
        return self._read_at is None or time.monotonic() - self._read_at > FLOOR_SECONDS

    async def read(self, connection: asyncpg.Connection) -> None:
        """Learn the floor and the time."""
        (row,) = await connection.fetch(SQL.floor)
        self._floor = row["floor_id"]
        self._ceiling = first_id_at(row["moment"] + AHEAD)
        self._read_at = time.monotonic()

    def check(self, execution_id: int) -> None:
        """Raise `Unstorable` with purged or id_out_of_range."""
        if execution_id < self._floor:
            raise Unstorable("purged", "retention has removed the executions of that time")
        if execution_id >= self._ceiling:
            raise Unstorable("id_out_of_range", "the execution_id lies more than a day in the future")
