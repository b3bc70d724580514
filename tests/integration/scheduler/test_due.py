"""What is due is appended by the scheduler: time-outs of waits, deadlines, lost workers, deliveries."""

from __future__ import annotations

import asyncpg
import pytest

from engine.read import executions as reading
from engine.read.sweep import Swept
from engine.runtime import metrics
from engine.write.executions import cancel, signal
from scheduler import upkeep
from scheduler.due import LONGEST_REST, DueRole
from scheduler.sweep import SWEEP_SECONDS, DeadlineRole, SweepRole, sweeps
from scheduler.upkeep import PartitionRole
from tests.support.engine import Engine

WAITING = """
playbook: t/wait
steps:
  - {name: approve, wait: {event: approved, timeout: 1h, on_timeout: reject}}
  - {name: publish, tool: noop, next: end}
  - {name: reject, tool: noop}
"""
ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
EARLIER = "update playlog.timer set due_at = clock_timestamp() - interval '1 s'"


async def test_a_timer_row_that_is_earlier_than_the_log_says_fires_nothing(
    engine: Engine, pool: asyncpg.Pool
) -> None:
    await engine.register(WAITING)
    execution_id = await engine.start("t/wait")
    due = DueRole(pool, engine.appender)
    assert await due.step() == LONGEST_REST
    await engine.connection.execute(EARLIER)
    await due.step()
    assert await engine.types(execution_id) == ["execution.started", "wait.opened"]


async def test_a_satisfied_wait_leaves_no_timer(engine: Engine, pool: asyncpg.Pool) -> None:
    await engine.register(WAITING)
    execution_id = await engine.start("t/wait")
    await signal(engine.appender, execution_id, "approved", {"by": "ada"})
    assert await engine.value("select count(*) from playlog.timer") == 0
    assert await engine.work() == 1
    assert (await engine.state(execution_id)).steps["reject"].status == "skipped"


async def test_a_short_wait_ends_by_the_scheduler(engine: Engine, pool: asyncpg.Pool) -> None:
    await engine.register("{playbook: t/short, steps: [{name: a, wait: {for: 1ms}}]}")
    execution_id = await engine.start("t/short")
    due = DueRole(pool, engine.appender)
    while (await engine.state(execution_id)).status != "completed":
        await due.step()
    assert await engine.types(execution_id) == [
        "execution.started",
        "wait.opened",
        "timer.fired",
        "wait.satisfied",
        "step.completed",
        "execution.completed",
    ]


async def test_a_lost_worker_is_replaced(engine: Engine, pool: asyncpg.Pool) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    await engine.claim()
    await engine.connection.execute(
        "update playlog.command set leased_until = clock_timestamp() - interval '1 s'"
    )
    await DueRole(pool, engine.appender).step()
    assert (await engine.types(execution_id))[-2:] == ["command.expired", "command.issued"]


async def test_deadlines_end_executions_near_by_timer_and_far_by_the_sweep(
    engine: Engine, pool: asyncpg.Pool
) -> None:
    await engine.register(ONE)
    near = await engine.start("t/one", deadline=0.001)
    far = await engine.start("t/one", deadline=90_000)
    due = DueRole(pool, engine.appender)
    while (await engine.state(near)).status != "timed_out":
        await due.step()
    assert await engine.value("select count(*) from playlog.timer") == 0
    await DeadlineRole(pool, engine.appender).step()
    assert (await engine.state(far)).status == "running"
    assert await engine.value("select count(*) from playlog.command where state = 'pending'") == 1


async def test_a_timer_of_an_unknown_execution_is_forgotten(engine: Engine, pool: asyncpg.Pool) -> None:
    await engine.connection.execute("insert into playlog.timer values (7, 'execution', clock_timestamp())")
    await DueRole(pool, engine.appender).step()
    assert await engine.value("select count(*) from playlog.timer") == 0


async def test_the_sweep_heals_what_no_message_ever_told(engine: Engine, pool: asyncpg.Pool) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    await engine.work()
    healed: dict[int, int] = {}
    for role in sweeps(pool, healed.__setitem__):
        await role.step()
    assert healed == {execution_id: 5}
    found = await reading.get(engine.connection, execution_id)
    assert found is not None
    assert found.document["status"] == "completed"


async def test_a_page_whose_healing_fails_comes_again(engine: Engine, pool: asyncpg.Pool) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    await engine.work()
    seen: list[int] = []

    def healed(execution_id: int, _: int) -> None:
        seen.append(execution_id)
        raise RuntimeError("the process stops here")

    (role,) = [role for role in sweeps(pool, healed) if role.name == "sweep_ended"]
    place = "select cursor_id, finished_at from playlog.background_pass where name = 'sweep_ended'"
    before = await engine.connection.fetchrow(place)
    with pytest.raises(RuntimeError):
        await role.step()
    assert seen == [execution_id]
    assert await engine.connection.fetchrow(place) == before
    assert await role.step() == SWEEP_SECONDS
    assert await engine.connection.fetchrow(place) != before


async def test_a_pass_rests_between_its_pages(pool: asyncpg.Pool) -> None:
    async def one_page(_: object) -> Swept:
        return Swept(more=True)

    role = SweepRole("refold", pool, one_page, lambda *_: None, rest=60.0, page_rest=0.1)
    assert await role.step() == 0.1


PARTITIONS = "select count(*) from playlog.partitions()"
NEWEST = "select name from playlog.partitions() order by high_id desc, name limit 3"


async def test_partitions_are_made_ahead_once(engine: Engine, pool: asyncpg.Pool) -> None:
    before = await engine.value(PARTITIONS)
    assert await PartitionRole(pool).step() == upkeep.REST_SECONDS
    assert await engine.value(PARTITIONS) == before
    assert metrics.partitions_ahead._value.get() == 2


async def test_missing_partitions_are_alarming_and_made_soon_after_whoever_is_in_the_way(
    engine: Engine, pool: asyncpg.Pool
) -> None:
    before = await engine.value(PARTITIONS)
    for row in await engine.connection.fetch(NEWEST):
        await engine.connection.execute(f"drop table playlog.{row['name']}")
    role = PartitionRole(pool)
    async with engine.connection.transaction():
        await engine.connection.execute("lock table playlog.event in share mode")
        assert await role.step() == upkeep.RETRY_SECONDS
    assert metrics.partitions_ahead._value.get() == 1
    assert await role.step() == upkeep.REST_SECONDS
    assert await engine.value(PARTITIONS) == before
    assert metrics.partitions_ahead._value.get() == 2


async def test_cancelling_twice_answers_the_same(engine: Engine) -> None:
    await engine.register(WAITING)
    execution_id = await engine.start("t/wait")
    first = await cancel(engine.appender, execution_id, "enough")
    again = await cancel(engine.appender, execution_id, "really")
    assert first == again
    assert await engine.value("select count(*) from playlog.timer") == 0
