"""Partitions are months of UTC, without gap or overlap, whatever the time zone of the database."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pytest

from engine.domain.ids import first_id_at
from engine.write.partitions import PARTITIONED, ensure_ahead
from sql.runner import migrate

MONTHS = 26
BOUNDS = """
select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bound
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass('playlog.' || $1)
"""


def month_after(month: datetime, count: int = 1) -> datetime:
    years, months = divmod(month.month - 1 + count, 12)
    return month.replace(year=month.year + years, month=months + 1)


def of_utc(first: datetime, count: int) -> dict[str, str]:
    """The partitions of so many months, each with its bounds as PostgreSQL writes them."""
    months = [month_after(first, ahead) for ahead in range(count)]
    return {
        f"{month:%Y%m}": f"FOR VALUES FROM ('{first_id_at(month)}') TO ('{first_id_at(month_after(month))}')"
        for month in months
    }


async def partitions(connection: asyncpg.Connection, parent: str) -> dict[str, str]:
    rows = await connection.fetch(BOUNDS, parent)
    return {
        row["name"].removeprefix(f"{parent}_"): row["bound"]
        for row in rows
        if not row["name"].endswith("_low")
    }


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/Berlin"])
async def test_months_go_on_without_a_gap_in_every_time_zone(
    connection: asyncpg.Connection, zone: str
) -> None:
    await connection.execute(f"set timezone = '{zone}'")
    now = await connection.fetchval("select clock_timestamp()")
    this_month = datetime(now.year, now.month, 1, tzinfo=UTC)
    for ahead in range(MONTHS):
        month = month_after(this_month, ahead)
        await ensure_ahead(connection, moment=month.replace(day=28, hour=23))
    for parent in PARTITIONED:
        assert await partitions(connection, parent) == of_utc(this_month, MONTHS + 2)


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/Berlin"])
async def test_the_first_partitions_are_months_of_utc_too(
    connection: asyncpg.Connection, database_url: str, zone: str
) -> None:
    name = await connection.fetchval("select current_database()")
    await connection.execute("drop schema playlog cascade")
    await connection.execute(f"alter database \"{name}\" set timezone = '{zone}'")
    await migrate(database_url)
    now = await connection.fetchval("select clock_timestamp()")
    for parent in PARTITIONED:
        first = datetime(now.year, now.month, 1, tzinfo=UTC)
        assert await partitions(connection, parent) == of_utc(first, 3)


async def test_a_month_that_begins_inside_the_newest_partition_begins_at_its_end(
    connection: asyncpg.Connection,
) -> None:
    now = await connection.fetchval("select clock_timestamp()")
    following = month_after(datetime(now.year, now.month, 1, tzinfo=UTC), 3)
    low, edge, high = map(first_id_at, (following, following.replace(hour=1), month_after(following)))
    await connection.execute("select playlog.add_partition('event', 'odd', $1, $2)", low, edge)
    await ensure_ahead(connection, 3)
    made = await partitions(connection, "event")
    assert made[f"{following:%Y%m}"] == f"FOR VALUES FROM ('{edge}') TO ('{high}')"
