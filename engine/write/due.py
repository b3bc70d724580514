"""When the scheduler has to look again: one statement over everything that becomes due."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from sql import queries

SQL = queries.load("due")


@dataclass(frozen=True, slots=True)
class NextDue:
    """Seconds until the next thing of each kind is due, at most zero when it is; None: there is none."""

    timer: float | None
    lease: float | None
    delivery: float | None

    @property
    def soonest(self) -> float | None:
        """Seconds until the first of them."""
        known = [seconds for seconds in (self.timer, self.lease, self.delivery) if seconds is not None]
        return min(known, default=None)


async def next_due(connection: asyncpg.Connection) -> NextDue:
    """Look at the three queues by the database's clock."""
    (row,) = await connection.fetch(SQL.next)
    return NextDue(row["timer"], row["lease"], row["delivery"])
