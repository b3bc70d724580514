"""One execution that this build cannot read stops no timer, lease, deadline or delivery of the others."""

from __future__ import annotations

import asyncpg
import pytest

from engine.runtime import metrics
from scheduler import due as due_module
from scheduler import sweep as sweep_module
from scheduler.due import DueRole
from scheduler.sweep import DeadlineRole
from tests.support.engine import Engine

WAIT = "{playbook: t/wait, steps: [{name: a, wait: {for: 1ms}}]}"
ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
CHILD = "{playbook: t/child, steps: [{name: a, wait: {event: go, timeout: 24h}}]}"
PARENT = "{playbook: t/parent, steps: [{name: a, tool: playbook, with: {playbook: t/child}}]}"
POISON = """
with event as (
    insert into playlog.event (execution_id, version, event_id, event_type, status, content_hash, created_at,
        recorded_at)
    select execution_id, version + 1, 7, 'signal.received', 'RECEIVED', decode(repeat('00', 16), 'hex'),
        now(), now()
    from playlog.execution where execution_id = any($1::bigint[])
)
update playlog.execution set version = version + 1, last_event_id = 7 where execution_id = any($1::bigint[])
"""


async def poison(engine: Engine, *execution_ids: int) -> None:
    await engine.connection.execute(POISON, execution_ids)


def failures(kind: str) -> float:
    return float(metrics.due_failed.labels(kind)._value.get())


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_module, "BATCH", 1)
    monkeypatch.setattr(sweep_module, "PAGE", 1)


@pytest.fixture
def due(engine: Engine, pool: asyncpg.Pool) -> DueRole:
    return DueRole(pool, engine.appender)


async def ended(engine: Engine, execution_id: int) -> bool:
    query = "select ended_at is not null from playlog.execution where execution_id = $1"
    return bool(await engine.value(query, execution_id))


async def test_timers_that_fail_are_postponed_behind_the_others(
    engine: Engine, due: DueRole, one_at_a_time: None
) -> None:
    await engine.register(WAIT)
    bad, good = await engine.start("t/wait"), await engine.start("t/wait")
    await poison(engine, bad)
    await engine.connection.execute(
        "update playlog.timer set due_at = due_at - interval '1 hour' where execution_id = $1", bad
    )
    before = failures("timer")
    await due.step()
    await due.step()
    assert await ended(engine, good)
    assert failures("timer") == before + 1
    seconds = "select extract(epoch from due_at - clock_timestamp())::integer from playlog.timer"
    assert await engine.value(seconds + " where execution_id = $1 and timer_key like 'a%'", bad) == 30


async def test_timers_of_one_batch_fire_whichever_fails(engine: Engine, due: DueRole) -> None:
    await engine.register(WAIT)
    ids = [await engine.start("t/wait") for _ in range(5)]
    await poison(engine, ids[0], ids[3])
    await due.step()
    assert [await ended(engine, each) for each in ids] == [False, True, True, False, True]


async def test_leases_that_fail_are_postponed_behind_the_others(
    engine: Engine, due: DueRole, one_at_a_time: None
) -> None:
    await engine.register(ONE)
    bad, good = await engine.start("t/one"), await engine.start("t/one")
    await engine.claim()
    await engine.connection.execute(
        "update playlog.command set leased_until = clock_timestamp()"
        " - make_interval(secs => case execution_id when $1 then 2 else 1 end)",
        bad,
    )
    await poison(engine, bad)
    before = failures("lease")
    await due.step()
    await due.step()
    assert "command.expired" in await engine.types(good)
    assert failures("lease") == before + 1
    left = "select extract(epoch from leased_until - clock_timestamp())::integer from playlog.command"
    assert await engine.value(left + " where state = 'claimed'") == 30


async def test_deadlines_go_on_behind_a_page_that_fails(
    engine: Engine, pool: asyncpg.Pool, one_at_a_time: None
) -> None:
    await engine.register(CHILD)
    bad, good = await engine.start("t/child", deadline=90_000), await engine.start("t/child", deadline=0.001)
    await engine.connection.execute("update playlog.execution set deadline = clock_timestamp()")
    await poison(engine, bad)
    before = failures("deadline")
    role = DeadlineRole(pool, engine.appender)
    await role.step()
    await role.step()
    assert await ended(engine, good)
    assert failures("deadline") == before + 1


async def test_deliveries_go_on_behind_one_that_fails(
    engine: Engine, due: DueRole, one_at_a_time: None
) -> None:
    await engine.register(CHILD)
    await engine.register(PARENT)
    parents = [await engine.start("t/parent") for _ in range(2)]
    await engine.connection.execute(
        "update playlog.delivery set available_at = clock_timestamp() - interval '1 hour'"
    )
    # The first child's start cannot even be read.
    await engine.connection.execute(
        "update playlog.delivery set payload = '{\"parent\": 1}' where delivery_id ="
        " (select min(delivery_id) from playlog.delivery)"
    )
    before = failures("delivery")
    await due.step()
    await due.step()
    children = await engine.connection.fetch(
        "select parent_id from playlog.execution where parent_id is not null"
    )
    assert [row["parent_id"] for row in children] == parents[1:]
    assert failures("delivery") == before + 1
    assert await engine.value("select attempts from playlog.delivery") == 1


async def test_a_delivery_to_an_execution_that_cannot_be_read_waits(engine: Engine, due: DueRole) -> None:
    await engine.register(CHILD)
    await engine.register(PARENT)
    bad, good = await engine.start("t/parent"), await engine.start("t/parent")
    await poison(engine, bad)
    # Both children end at once, so both parents are to be told.
    await engine.connection.execute("update playlog.playbook set paused = true where path = 't/child'")
    await engine.connection.execute("update playlog.delivery set available_at = now() - interval '1 hour'")
    await due.step()
    assert await ended(engine, good)
    assert await engine.value("select count(*) from playlog.delivery where attempts = 1") == 1
