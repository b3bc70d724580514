"""P1, P5: the connection may break at any statement of an append, its COMMIT too; the log says it once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine.write.executions import signal
from engine.write.requests import Committed
from engine.write.writer import appending
from tests.support.crashing import Plan, crashing
from tests.support.engine import Engine

TWO = "{playbook: t/two, steps: [{name: a, tool: noop}, {name: b, tool: noop}]}"
EXPECTED = [
    "execution.started",
    *["command.issued", "command.completed", "step.completed"] * 2,
    "execution.completed",
]
MOST_STATEMENTS = 40


@pytest.fixture
def plan() -> Plan:
    return Plan()


@pytest.fixture
async def fragile(database_url: str, plan: Plan, connection: asyncpg.Connection) -> AsyncIterator[Engine]:
    """An engine whose writer's connection follows the plan."""
    kind = crashing(plan)
    committed: list[Committed] = []
    async with appending(
        lambda: asyncpg.connect(database_url, connection_class=kind, timeout=10, command_timeout=30),
        committed.append,
        1,
    ) as appender:
        yield Engine(connection, appender, committed)


async def check(engine: Engine, execution_id: int) -> None:
    assert await engine.types(execution_id) == EXPECTED
    log = await engine.log(execution_id)
    assert [event.version for event in log] == list(range(1, 9))
    open_commands = "select count(*) from playlog.command where state <> 'closed' and execution_id = $1"
    assert await engine.value(open_commands, execution_id) == 0
    published = "select sum(last_version - first_version + 1) from playlog.outbox where execution_id = $1"
    assert await engine.value(published, execution_id) == len(EXPECTED)


@pytest.mark.parametrize("after", [False, True], ids=["before the server", "after its answer"])
@pytest.mark.parametrize("what", ["start", "first settle", "last settle"])
async def test_a_connection_that_breaks_at_any_statement_changes_nothing_in_the_log(
    fragile: Engine, plan: Plan, what: str, after: object
) -> None:
    await fragile.register(TWO)
    points = 0
    for at in range(1, MOST_STATEMENTS):
        if what == "start":
            plan.arm(at, after=bool(after))
        execution_id = await fragile.start("t/two")
        (first,) = await fragile.claim()
        if what == "first settle":
            plan.arm(at, after=bool(after))
        await fragile.complete(first)
        (second,) = await fragile.claim()
        if what == "last settle":
            plan.arm(at, after=bool(after))
        await fragile.complete(second)
        await check(fragile, execution_id)
        if not plan.fired:
            break
        points += 1
    assert 5 <= points < MOST_STATEMENTS - 1


@pytest.mark.parametrize("after", [False, True], ids=["before the server", "after its answer"])
async def test_a_signal_without_a_key_is_recorded_once_whatever_breaks(
    fragile: Engine, plan: Plan, after: object
) -> None:
    await fragile.register(TWO)
    at = execution_id = 0
    for at in range(1, MOST_STATEMENTS):
        execution_id = await fragile.start("t/two")
        plan.arm(at, after=bool(after))
        await signal(fragile.appender, execution_id, "go", at)
        assert (await fragile.types(execution_id)).count("signal.received") == 1
        if not plan.fired:
            break
    assert 5 <= at < MOST_STATEMENTS - 1
    await signal(fragile.appender, execution_id, "go", at)
    assert (await fragile.types(execution_id)).count("signal.received") == 2
