"""The connection may break at any statement of a purge; the next purge finishes, and nothing is half gone."""

from __future__ import annotations

import asyncpg
import pytest

from engine.read.projection import advance
from engine.write.purge import Purged
from tests.support.crashing import Plan, crashing
from tests.support.engine import Engine
from tests.support.retention import WAITING, Month, begin, end, make, purged, rows_of, tables, this_month

MOST_STATEMENTS = 60
BROKEN = (asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError)


async def broken_off(database_url: str, plan: Plan, month: Month) -> Purged | None:
    """A purge that follows the plan; None when it broke off."""
    connection = await asyncpg.connect(
        database_url, connection_class=crashing(plan), timeout=10, command_timeout=30
    )
    try:
        return await purged(connection, month)
    except BROKEN:
        return None
    finally:
        await connection.close()


@pytest.mark.parametrize("after", [False, True], ids=["before the server", "after its answer"])
async def test_a_purge_that_breaks_off_anywhere_is_finished_by_the_next(
    engine: Engine, database_url: str, after: object
) -> None:
    await engine.register(WAITING)
    month, plan, points = this_month(), Plan(), 0
    for at in range(1, MOST_STATEMENTS):
        await make(engine.connection, month)
        execution_id = await begin(engine, month, 1)
        await end(engine, execution_id)
        await advance(engine.connection, [execution_id])
        plan.arm(at, after=bool(after))
        done = await broken_off(database_url, plan, month)
        await check_halfway(engine, month)
        assert done is not None or plan.fired
        await purged(engine.connection, month)
        assert await tables(engine.connection, month) == set(), at
        assert set((await rows_of(engine.connection, month)).values()) == {0}, at
        if not plan.fired:
            break
        points += 1
        month = month.next
    assert 20 <= points < MOST_STATEMENTS - 1
    assert await engine.value("select count(*) from playlog.retention") == points + 1


async def check_halfway(engine: Engine, month: Month) -> None:
    """Either all of it is there, or it is purged; and no head has gone before its events."""
    counts = await rows_of(engine.connection, month)
    told = await engine.value("select count(*) from playlog.retention where name = $1", month.suffix)
    assert counts["event"] == (0 if told else 3)
    if not told:
        assert (counts["execution"], counts["snapshot"]) == (1, 1)
