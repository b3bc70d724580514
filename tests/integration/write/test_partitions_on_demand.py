"""An execution finds its partition although nobody made one ahead, as long as there may be another."""

from __future__ import annotations

import asyncpg
import pytest

from engine.errors import Invalid, Purged
from engine.write import partitions, step_logs
from engine.write.executions import StartOrder, start
from engine.write.horizon import AHEAD
from engine.write.partitions import MOST_LEAVES, PARTITIONED, ensure_ahead, leaves, make_for
from engine.write.step_logs import Line
from tests.support.engine import Engine
from tests.support.retention import WAITING, Month, begin, make, this_month

MONTH = this_month()


@pytest.fixture
async def neglected(engine: Engine) -> Engine:
    """An engine whose scheduler has been down for so long that this month has no partitions."""
    await engine.register(WAITING)
    for leaf in [leaf for some in (await leaves(engine.connection)).values() for leaf in some]:
        if leaf.suffix != "low":
            await engine.connection.execute(f"drop table playlog.{leaf.name}")
    return engine


async def names(connection: asyncpg.Connection) -> dict[str, list[str]]:
    return {parent: [leaf.suffix for leaf in some] for parent, some in (await leaves(connection)).items()}


async def test_a_start_makes_the_partitions_that_it_lacks(neglected: Engine) -> None:
    execution_id = await neglected.start("t/wait")
    assert await neglected.types(execution_id) == ["execution.started", "wait.opened"]
    assert await names(neglected.connection) == {parent: ["low", MONTH.suffix] for parent in PARTITIONED}


async def test_many_starts_at_once_make_them_once(neglected: Engine) -> None:
    order = StartOrder(playbook="t/wait")
    started = [
        await start(neglected.checkout, neglected.appender, neglected.definitions, order) for _ in range(3)
    ]
    assert len({each.execution_id for each in started}) == 3
    assert await names(neglected.connection) == {parent: ["low", MONTH.suffix] for parent in PARTITIONED}


async def test_log_lines_make_the_partitions_that_they_lack(neglected: Engine) -> None:
    line = Line(MONTH.id(1), 1, 1, "a", 1, "log", "text", MONTH.first)
    assert len(await step_logs.store(neglected.connection, [line])) == 1
    assert await step_logs.store(neglected.connection, [line]) == []


async def test_a_month_between_two_that_exist_is_filled(engine: Engine) -> None:
    await engine.register(WAITING)
    between = Month(MONTH.next.next.next.first)
    await make(engine.connection, between.next)
    assert not await make_for(engine.connection, [between.id(1)])  # more than a day in the future
    await engine.connection.execute(LATER.format(seconds=(between.first - MONTH.first).total_seconds()))
    assert await make_for(engine.connection, [between.id(1)])
    assert await begin(engine, between, 1) == between.id(1)
    assert between.suffix in (await names(engine.connection))["event"]


LATER = """
create function playlog.clock_timestamp() returns timestamptz language sql volatile
as $$ select pg_catalog.clock_timestamp() + interval '{seconds} seconds' $$;
set search_path = playlog, pg_catalog, public;
"""


async def test_a_65th_partition_is_refused_and_so_is_what_needs_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.register(WAITING)
    monkeypatch.setattr(partitions, "AHEAD", AHEAD * 100_000)
    last = MONTH
    while len((await leaves(engine.connection))["event"]) < MOST_LEAVES:
        last = last.next
        await make(engine.connection, last)
    assert await ensure_ahead(engine.connection, 0, moment=last.next.first) == []
    with pytest.raises(Invalid) as refused:
        await begin(engine, last.next, 1)
    assert refused.value.code == "id_out_of_range"
    assert len((await leaves(engine.connection))["event"]) == MOST_LEAVES


async def test_a_purged_month_is_never_made_again(engine: Engine) -> None:
    gone = MONTH.next
    for parent in PARTITIONED:
        await engine.connection.execute(f"drop table playlog.{parent}_{gone.suffix}")
    await engine.connection.execute(
        "insert into playlog.retention (kind, name, low_id, high_id) values ('purged', $1, $2, $3)",
        gone.suffix,
        gone.id(0),
        gone.next.id(0),
    )
    with pytest.raises(Purged):
        await make_for(engine.connection, [gone.id(1)])
    with pytest.raises(Purged):
        await step_logs.store(engine.connection, [Line(gone.id(1), 1, 1, "a", 1, "log", "x", MONTH.first)])
