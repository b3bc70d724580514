"""Purges to be struck by crashes: of rows, and of a whole month of the log while the rest is in use."""

from __future__ import annotations

from engine.read.projection import advance
from engine.write.executions import cancel
from engine.write.purge import Policy, purge
from tests.support.acts import Act
from tests.support.engine import Engine
from tests.support.mortal import Office
from tests.support.retention import WAITING, Month, begin, make, purged, rows_of, tables, this_month
from tests.support.town import Town

AGE = """
update playlog.command set closed_at = closed_at - interval '30 days' where state = 'closed';
insert into playlog.idempotency (scope, idempotency_key, request_hash, execution_id, created_at)
select 'start', gen_random_uuid()::text, decode(repeat('00', 16), 'hex'), 1,
    clock_timestamp() - interval '30 days';
"""
AGED = """
select (select count(*) from playlog.command where closed_at < clock_timestamp() - interval '7 days')
    + (select count(*) from playlog.idempotency where created_at < clock_timestamp() - interval '7 days')
"""
KEPT = """
select (select count(*) from playlog.command where state <> 'closed'),
    (select count(*) from playlog.idempotency where scope = 'key'), (select count(*) from playlog.event)
"""


async def rows(town: Town) -> Act:
    """Closed commands and old answers, a batch at a time."""
    await town.start("town/main")
    await town.finish()
    await town.start("town/main")
    await town.connection.execute(AGE)
    kept = await town.connection.fetchrow(KEPT)

    async def call(now: Office) -> None:
        async with now.checkout() as connection:
            await purge(connection, Policy())

    async def done() -> bool:
        assert await town.connection.fetchrow(KEPT) == kept
        return bool(await town.connection.fetchval(AGED) == 0)

    return Act(town.office, call, done)


PURGED = "select count(*) from playlog.retention where kind = 'purged'"
HOLD = """
insert into playlog.retention (kind, name, low_id, high_id, reason) values ('hold', 'town', 0, $1, 'in use')
on conflict (kind, name) do update set high_id = excluded.high_id
"""
UNWANTED = "delete from playlog.outbox where execution_id = $1"


async def month(town: Town) -> Act:
    """A month whose only execution has ended: its partitions are emptied, detached and dropped.

    A hold keeps everything older; what is purged is no part of the ledger.
    """
    before = await town.connection.fetchval(PURGED)
    gone = this_month().next
    for _ in range(before):
        gone = gone.next
    await town.connection.execute(HOLD, gone.id(0))
    await make(town.connection, gone)
    await _ended_execution(town, gone)

    async def call(now: Office) -> None:
        async with now.checkout() as connection:
            await purged(connection, gone)

    async def done() -> bool:
        left = await rows_of(town.connection, gone)
        assert await town.connection.fetchval(PURGED) == before + (left["event"] == 0)
        return await tables(town.connection, gone) == set() and not any(left.values())

    return Act(town.office, call, done)


async def _ended_execution(town: Town, of: Month) -> None:
    """An execution of that month with a snapshot; nobody wants its messages any more."""
    await town.register(WAITING)

    async def run(now: Office) -> int:
        engine = Engine(town.connection, now.desk.appender, [])
        execution_id = await begin(engine, of, 1)
        await cancel(engine.appender, execution_id)
        return execution_id

    execution_id = await town.office.call(run)
    await town.connection.execute(UNWANTED, execution_id)
    await advance(town.connection, [execution_id])
