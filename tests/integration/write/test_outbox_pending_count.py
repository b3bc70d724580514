"""The count of what waits: exact to 10,000, estimated above, and read through an index."""

from __future__ import annotations

import re

import pytest

from engine.write import outbox
from sql import queries
from tests.support.outbox import put
from tests.support.servers import Connection

MANY = """
insert into playlog.outbox (shard, execution_id, first_version, last_version, event_id, subject, payload)
select i & 15, i, 1, 1, i, 'playlog.events.0.0', '{}' from generate_series(1, $1::integer) i
"""

HOLD = """
update playlog.outbox set attempts = 1,
    lease_token = case when event_id <= 10000 then 1 end,
    leased_until = case when event_id <= 10000 then clock_timestamp() + interval '1 h' end,
    first_failed_at = case when event_id > 10000 then clock_timestamp() end,
    available_at = clock_timestamp() + case when event_id > 10000 then interval '1 h' else interval '0' end
where event_id <= 15000
"""


async def test_nothing_waits(connection: Connection) -> None:
    assert await outbox.pending_count(connection) == outbox.Pending(
        pending=0, in_flight=0, backlog=0, parked=0, dead=0, oldest_age_seconds=None, estimated=False
    )


async def test_each_state_is_counted_apart(connection: Connection) -> None:
    ids = await put(connection, *[(number, 1, 1) for number in range(10)], (0, 2, 2), (1, 2, 2))
    await connection.execute("update playlog.outbox set created_at = created_at - interval '90 seconds'")
    await outbox.claim(connection, 3, lease_seconds=3600)
    await outbox.mark_failed(connection, ids[9], "no", attempts=9)
    count = await outbox.pending_count(connection)
    assert (count.pending, count.in_flight, count.backlog, count.parked) == (6, 3, 9, 1)
    assert count.oldest_age_seconds == pytest.approx(90, abs=30)
    assert not count.estimated
    await connection.execute(
        "update playlog.outbox set leased_until = clock_timestamp() where leased_until is not null"
    )
    count = await outbox.pending_count(connection)
    assert (count.pending, count.in_flight) == (11, 0)


async def test_it_is_exact_to_10_000_and_estimated_above(connection: Connection) -> None:
    await connection.execute(MANY, 10_000)
    count = await outbox.pending_count(connection)
    assert (count.pending, count.estimated) == (10_000, False)
    await connection.execute(MANY, 15_000)
    await connection.execute("analyze playlog.outbox")
    count = await outbox.pending_count(connection)
    assert count.estimated
    assert count.pending == pytest.approx(25_000, rel=0.1)


async def test_an_estimate_tells_what_is_leased_and_parked_apart(connection: Connection) -> None:
    await connection.execute(MANY, 60_000)
    await connection.execute(HOLD)
    count = await outbox.pending_count(connection)
    assert count.estimated
    assert count.pending == pytest.approx(45_000, rel=0.3)
    assert (count.in_flight, count.parked) == (10_000, 5_000)
    assert count.backlog == count.pending + count.in_flight


async def test_neither_counting_nor_claiming_reads_more_than_it_needs_whatever_the_statistics_say(
    connection: Connection,
) -> None:
    await connection.execute("analyze playlog.outbox")
    await connection.execute(MANY, 20_000)
    await connection.execute(HOLD)
    arguments = {
        "pending_count": "10001, 500",
        "due": "'{0,1,2,3}', 1000, 500, 8000000",
        "lease": "'{0,1,2,3}', 100, 60, 1",
    }
    async with connection.transaction():
        await connection.fetch(queries.load("shards").prefer_indexes)
        for name, values in arguments.items():
            await connection.execute(f"prepare {name}_ as {getattr(queries.load('outbox'), name)}")
            plan = await connection.fetch(f"explain execute {name}_({values})")
            text = "\n".join(row[0] for row in plan)
            assert all(f"outbox_{state}" in text for state in ("fresh", "leased", "parked", "tried")), text
            assert not re.search(r"Seq Scan on outbox |Bitmap|Anti Join|Hash|Function Scan on due", text), (
                text
            )
            assert not re.search(r"using outbox_tried .*\n(?! *Index Cond: \(\(execution_id = )", text), text
