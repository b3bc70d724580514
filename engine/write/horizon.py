"""Which execution ids the log takes now: none of a purged range, none far in the future."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta

import asyncpg

from engine.domain.ids import first_id_at
from engine.domain.json_values import Unstorable
from engine.domain.retention import Range, Ranges
from sql import queries

SQL = queries.load("retention")

AHEAD = timedelta(days=1)
READ_SECONDS = 10.0
PURGED = "purged"
PURGED_DETAIL = "retention has removed the executions of that time"


class Horizon:
    """Judges execution ids before anything is tried; what is purged is read again every ten seconds.

    It may be late: the database refuses an event of a purged range in any case.
    """

    def __init__(self) -> None:
        self._purged = Ranges()
        self._ceiling = 0
        self._read_at: float | None = None

    @property
    def is_old(self) -> bool:
        """Whether it has to be read before ids can be judged."""
        return self._read_at is None or time.monotonic() - self._read_at > READ_SECONDS

    async def read(self, connection: asyncpg.Connection) -> None:
        """Learn what is purged, and the time."""
        rows = await connection.fetch(SQL.horizon)
        self._purged = Ranges(
            Range(row["low_id"], row["high_id"]) for row in rows if row["low_id"] is not None
        )
        self._ceiling = first_id_at(rows[0]["moment"] + AHEAD)
        self._read_at = time.monotonic()

    def check(self, execution_id: int) -> None:
        """Raise `Unstorable` with purged or id_out_of_range."""
        if execution_id in self._purged:
            raise Unstorable(PURGED, PURGED_DETAIL)
        if execution_id >= self._ceiling:
            raise Unstorable("id_out_of_range", "the execution_id lies more than a day in the future")


async def purged_among(connection: asyncpg.Connection, execution_ids: Collection[int]) -> set[int]:
    """Which of these executions retention has removed, or would have if there had been any."""
    if not execution_ids:
        return set()
    return {row["id"] for row in await connection.fetch(SQL.purged_among, list(execution_ids))}
