"""Rule 16 on a database: nothing of a paused execution is handed out, and nothing gets lost by it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engine.errors import Conflict
from engine.runtime.database import checkout
from engine.write import commands, executions
from engine.write.commands import Claimed, Lease
from tests.support.engine import Engine, result_of
from tests.support.servers import Pool

TWO = "{playbook: t/two, steps: [{name: a, tool: noop}, {name: b, tool: noop, pool: other}]}"
MANY = "{playbook: t/many, steps: [{name: a, tool: noop, map: {items: '${ [1, 2, 3] }', max_in_flight: 2}}]}"
STATES = "select array_agg(state || case when paused then ' paused' else '' end order by command_id)"
RUN_OUT = "update playlog.command set leased_until = now() - interval '1 s' where state = 'claimed'"


@pytest.fixture
async def pausing(engine: Engine) -> Engine:
    for source in (TWO, MANY):
        await engine.register(source)
    return engine


async def states(engine: Engine, execution_id: int) -> object:
    query = f"{STATES} from playlog.command where execution_id = $1 and state <> 'closed'"
    return await engine.value(query, execution_id)


async def test_commands_of_a_paused_execution_wait_while_those_of_others_are_handed_out(
    pausing: Engine,
) -> None:
    engine = pausing
    held, free = [await engine.start("t/two") for _ in range(2)]
    paused = await executions.pause(engine.appender, held, "the bank is closed")
    assert (paused.version, paused.status) == (3, "paused")
    assert await executions.pause(engine.appender, held) == paused
    assert [command.execution_id for command in await engine.claim()] == [free]
    assert (await commands.pending_counts(engine.connection))["default"]["pending"] == 0
    assert await commands.seconds_to_next(engine.connection, "default") is None
    engine.committed.clear()
    resumed = await executions.resume(engine.appender, held)
    assert (resumed.version, resumed.status) == (4, "running")
    assert [committed.pools for committed in engine.committed] == [{"default": 1}]
    assert await executions.resume(engine.appender, held) == resumed
    assert [command.execution_id for command in await engine.claim()] == [held]


async def test_what_was_claimed_before_the_pause_settles_and_the_next_command_waits(pausing: Engine) -> None:
    engine = pausing
    execution_id = await engine.start("t/two")
    (command,) = await engine.claim()
    await executions.pause(engine.appender, execution_id)
    beat = await commands.extend(engine.connection, [Lease(command.command_id, command.lease_token)], 60)
    assert len(beat.extended) == 1
    engine.committed.clear()
    assert (await engine.complete(command)).verdicts[0].verdict == "recorded"
    assert [committed.pools for committed in engine.committed] == [{}]
    assert await states(engine, execution_id) == ["held paused"]
    assert await engine.claim(pool="other") == []
    await executions.resume(engine.appender, execution_id)
    (command,) = await engine.claim(pool="other")
    await engine.complete(command)
    assert (await engine.types(execution_id))[-1] == "execution.completed"


async def test_a_command_that_is_handed_back_while_paused_is_held(pausing: Engine) -> None:
    engine = pausing
    execution_id = await engine.start("t/two")
    (command,) = await engine.claim()
    await executions.pause(engine.appender, execution_id)
    await commands.release(engine.connection, [Lease(command.command_id, command.lease_token)])
    assert await states(engine, execution_id) == ["held paused"]
    await executions.resume(engine.appender, execution_id)
    assert await states(engine, execution_id) == ["pending"]


async def test_a_command_whose_worker_is_lost_while_paused_is_held(pausing: Engine) -> None:
    engine = pausing
    execution_id = await engine.start("t/two")
    await engine.claim()
    await executions.pause(engine.appender, execution_id)
    await engine.connection.execute(RUN_OUT)
    await engine.appender.submit_all(await commands.expired(engine.connection, 10))
    assert await states(engine, execution_id) == ["held paused"]


async def test_the_items_of_a_map_wait_too_each_under_its_number(pausing: Engine) -> None:
    engine = pausing
    execution_id = await engine.start("t/many")
    first, second = await engine.claim()
    await executions.pause(engine.appender, execution_id)
    await engine.settle(result_of(first), result_of(second, error={"code": "x", "message": "x"}))
    assert (await engine.types(execution_id))[-1] == "execution.failed"
    assert await states(engine, execution_id) is None
    again = await executions.reopen(engine.checkout, engine.appender, execution_id)
    assert again.status == "running"
    await executions.pause(engine.appender, execution_id)
    assert await states(engine, execution_id) == ["held paused", "held paused"]
    await executions.resume(engine.appender, execution_id)
    assert await engine.work(lambda command: command.item) == 3
    items = "select array_agg(item order by command_id) from playlog.command where execution_id = $1"
    assert await engine.value(items, execution_id) == [0, 1, 0, 1, 2]


async def test_cancelling_what_is_paused_closes_what_was_held(pausing: Engine) -> None:
    engine = pausing
    execution_id = await engine.start("t/two")
    await executions.pause(engine.appender, execution_id)
    await executions.cancel(engine.appender, execution_id)
    assert await states(engine, execution_id) is None
    for steer in (executions.pause, executions.resume):
        with pytest.raises(Conflict, match="cancelled"):
            await steer(engine.appender, execution_id)


async def test_several_pauses_and_results_in_one_append_leave_what_the_last_one_says(pausing: Engine) -> None:
    engine = pausing
    execution_ids = [await engine.start("t/two") for _ in range(6)]
    claimed = {command.execution_id: command for command in await engine.claim()}
    acts = [executions.pause, executions.resume, executions.pause, executions.resume]

    async def steer(place: int, execution_id: int) -> None:
        done = [act(engine.appender, execution_id) for act in acts[: 1 + place % 4]]
        result = replace(result_of(claimed[execution_id]), execution_id=execution_id)
        await asyncio.gather(*done, engine.settle(result))

    await asyncio.gather(*(steer(*each) for each in enumerate(execution_ids)))
    for place, execution_id in enumerate(execution_ids):
        expected = ["held paused"] if place % 2 == 0 else ["pending"]
        assert await states(engine, execution_id) == expected
        assert (await engine.state(execution_id)).paused is (place % 2 == 0)


async def test_pauses_and_claims_at_the_same_time_leave_nothing_in_between(
    pausing: Engine, pool: Pool
) -> None:
    """Each command is either in a worker's hands, and settles, or held."""
    engine = pausing
    execution_ids = [await engine.start("t/two") for _ in range(40)]

    async def claim() -> list[Claimed]:
        async with checkout(pool) as connection:
            return await commands.claim(connection, worker_id="w1", pool="default", limit=5, lease_seconds=60)

    paused = [executions.pause(engine.appender, execution_id) for execution_id in execution_ids]
    claimed, _ = await asyncio.gather(asyncio.gather(*(claim() for _ in range(8))), asyncio.gather(*paused))
    settled = await engine.settle(*(result_of(command) for each in claimed for command in each))
    assert {admission.verdict for admission in settled.verdicts} <= {"recorded"}
    assert await engine.claim(100) == []
    assert await engine.claim(100, "other") == []
    for execution_id in execution_ids:
        assert await states(engine, execution_id) == ["held paused"]
    for execution_id in execution_ids:
        await executions.resume(engine.appender, execution_id)
    await engine.work()
    assert len(await engine.claim(100, "other")) == len(execution_ids)
