"""Executions in months of their own, and the moments at which these months are old enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import asyncpg

from engine.domain.admit import Origin
from engine.domain.events import NewEvent
from engine.domain.ids import first_id_at
from engine.write.executions import StartOrder, cancel, start_request
from engine.write.partitions import ensure_ahead
from engine.write.purge import Policy, Purged, purge
from engine.write.requests import Request
from tests.support.engine import Engine

WAITING = "{playbook: t/wait, steps: [{name: ask, wait: {event: go, timeout: 9d}}]}"
DAYS = 30


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month of UTC with its partitions' suffix."""

    first: datetime

    @property
    def suffix(self) -> str:
        return f"{self.first:%Y%m}"

    @property
    def leaf(self) -> str:
        return f"event_{self.suffix}"

    @property
    def end(self) -> datetime:
        return (self.first + timedelta(days=31)).replace(day=1)

    @property
    def next(self) -> Month:
        return Month(self.end)

    def id(self, number: int) -> int:
        """The id of an execution of this month."""
        return first_id_at(self.first) + number

    @property
    def over(self) -> datetime:
        """When this month is older than the retention, and the next one is not."""
        return self.end + timedelta(days=DAYS + 1)


def this_month() -> Month:
    now = datetime.now(UTC)
    return Month(datetime(now.year, now.month, 1, tzinfo=UTC))


async def make(connection: asyncpg.Connection, month: Month) -> None:
    """Make the month's partitions."""
    await ensure_ahead(connection, 0, moment=month.first)


async def begin(engine: Engine, month: Month, number: int) -> int:
    """Start an execution of that month that waits for a signal; `t/wait` must be registered."""
    resolved, definition = await engine.definitions.resolve(engine.connection, "t/wait", None)
    resolved = replace(resolved, execution_id=month.id(number))
    await engine.appender.submit(start_request(definition, resolved, StartOrder(playbook="t/wait")))
    return resolved.execution_id


async def end(engine: Engine, *execution_ids: int) -> None:
    """End executions, and let everything be published."""
    for execution_id in execution_ids:
        await cancel(engine.appender, execution_id, "enough")
    await engine.connection.execute("delete from playlog.outbox")


def noted(execution_id: int, event_id: int) -> Request:
    """An event of another system."""
    event = NewEvent(event_type="other.noted", status="RUNNING", payload=None, event_id=event_id)
    return Request(execution_id=execution_id, events=(event,), origin=Origin.OUTSIDE)


async def purged(connection: asyncpg.Connection, month: Month, **policy: bool) -> Purged:
    """Purge as of the moment when the month is old enough."""
    return await purge(connection, Policy(event_retention_days=DAYS, **policy), moment=month.over)


async def tables(connection: asyncpg.Connection, month: Month) -> set[str]:
    """Which tables of the month there are, attached or not."""
    rows = await connection.fetch(
        "select relname from pg_class where relnamespace = 'playlog'::regnamespace and relkind = 'r'"
        " and relname like '%' || $1",
        month.suffix,
    )
    return {row["relname"] for row in rows}


async def rows_of(connection: asyncpg.Connection, month: Month) -> dict[str, int]:
    """How many rows of the month there are, by table."""
    bounds = (first_id_at(month.first), first_id_at(month.end))
    counts = {}
    for table in ("event", "execution", "snapshot", "payload", "step_log"):
        counts[table] = await connection.fetchval(
            f"select count(*) from playlog.{table} where execution_id >= $1 and execution_id < $2", *bounds
        )
    return counts
