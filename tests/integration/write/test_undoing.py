"""Rules 14 to 16 on a database: sagas that are undone by workers, and executions that are retried."""

from __future__ import annotations

import pytest

from engine.domain.snapshot import encode, state_hash
from engine.domain.vocabulary import TERMINAL_EVENTS
from engine.errors import Conflict, NotFound
from engine.read.projection import advance
from engine.write import deliveries, executions, timers
from engine.write.commands import Claimed
from tests.support.engine import Engine, result_of, running_engine

SAGA = """
playbook: t/saga
deadline: 10d
steps:
  - name: one
    tool: noop
    compensate: {tool: noop, with: {undo: "${ steps.one.output }"}, retry: {max_attempts: 1}}
  - name: two
    tool: noop
    compensate: {tool: noop, with: {undo: "${ steps.two.output }"}, retry: {max_attempts: 2, delay: 0s}}
  - {name: three, tool: noop, deadline: 1h}
"""
LINE = """
playbook: t/line
deadline: 10d
steps:
  - {name: one, tool: noop}
  - {name: each, map: {items: "${ [1, 2] }"}, tool: noop, deadline: 1h}
output: "${ steps.one.output }"
"""
CHILD = (
    "{playbook: t/child, steps: [{name: one, tool: noop, compensate: {tool: noop}}, {name: two, tool: noop}]}"
)
PARENT = "{playbook: t/parent, steps: [{name: child, tool: playbook, with: {playbook: t/child}}]}"
ERROR = {"code": "boom", "message": "boom"}
TERMINAL = {kind.value for kind in TERMINAL_EVENTS}


@pytest.fixture
async def saga(engine: Engine) -> Engine:
    for source in (SAGA, LINE, CHILD, PARENT):
        await engine.register(source)
    return engine


async def one(engine: Engine, step: str) -> Claimed:
    (command,) = await engine.claim()
    assert command.step == step
    return command


async def with_two_done(engine: Engine) -> int:
    execution_id = await engine.start("t/saga")
    for output, step in enumerate(("one", "two")):
        await engine.complete(await one(engine, step), output)
    return execution_id


async def check_rests(engine: Engine, execution_id: int) -> None:
    """Nothing is open, and head, snapshot and the fold of the log say the same."""
    open_rows = "select count(*) from playlog.command where execution_id = $1 and state <> 'closed'"
    assert await engine.value(open_rows, execution_id) == 0
    assert await engine.value("select count(*) from playlog.timer where execution_id = $1", execution_id) == 0
    folded = await engine.state(execution_id)
    head = "select row(version, status, ended_at) from playlog.execution where execution_id = $1"
    assert await engine.value(head, execution_id) == (folded.version, folded.status, folded.ended_at)
    await advance(engine.connection, [execution_id])
    kept = "select hash from playlog.snapshot where execution_id = $1"
    assert await engine.value(kept, execution_id) == state_hash(encode(folded))


async def test_a_failed_saga_is_undone_by_workers_the_last_step_first(
    saga: Engine, database_url: str
) -> None:
    """Half of it by an engine that knows nothing but the log."""
    execution_id = await with_two_done(saga)
    await saga.settle(result_of(await one(saga, "three"), error=ERROR))
    assert (await saga.state(execution_id)).status == "compensating"
    command = await one(saga, "two")
    assert command.input == b'{"undo":1}'
    await saga.settle(result_of(command, error=ERROR))
    await saga.complete(await one(saga, "two"))
    async with running_engine(database_url) as other:
        command = await one(other, "one")
        assert command.input == b'{"undo":0}'
        await other.complete(command)
    log = await saga.log(execution_id)
    assert log[-1].event_type == "execution.failed"
    assert (await saga.state(execution_id)).compensation == "complete"
    await check_rests(saga, execution_id)
    with pytest.raises(Conflict) as refused:
        await executions.reopen(saga.checkout, saga.appender, execution_id)
    assert refused.value.code == "compensated"


async def test_a_cancel_with_compensation_ends_when_the_last_step_is_undone(saga: Engine) -> None:
    execution_id = await with_two_done(saga)
    first = await executions.cancel(saga.appender, execution_id, "enough", compensate=True)
    assert first.status == "compensating"
    assert await executions.cancel(saga.appender, execution_id, compensate=True) == first
    for steer in (executions.cancel, executions.pause):
        with pytest.raises(Conflict) as refused:
            await steer(saga.appender, execution_id)
        assert refused.value.code == "compensating"
    await saga.complete(await one(saga, "two"))
    await saga.complete(await one(saga, "one"))
    log = await saga.log(execution_id)
    assert (log[-1].event_type, log[-1].payload) == (
        "execution.cancelled",
        {"reason": "enough", "compensation": "complete"},
    )
    again = await executions.cancel(saga.appender, execution_id)
    assert (again.status, again.version) == ("cancelled", log[-1].version)
    await check_rests(saga, execution_id)


async def test_what_cannot_be_undone_opens_one_incident_a_step(saga: Engine) -> None:
    execution_id = await with_two_done(saga)
    await executions.cancel(saga.appender, execution_id, compensate=True)
    while claimed := await saga.claim():
        await saga.settle(*(result_of(command, error=ERROR) for command in claimed))
    rows = await saga.connection.fetch("select kind, execution_id, subject from playlog.incident order by 3")
    assert [tuple(row) for row in rows] == [
        ("compensation_failed", execution_id, f"{execution_id}/{step}") for step in ("one", "two")
    ]
    assert (await saga.state(execution_id)).compensation == "incomplete"
    await check_rests(saga, execution_id)


async def carry_out(engine: Engine) -> None:
    batch = [delivery for committed in engine.committed for delivery in committed.deliveries]
    engine.committed.clear()
    await deliveries.carry_out(engine.connection, engine.appender, engine.definitions, batch)


@pytest.mark.parametrize("compensate", [True, False])
async def test_a_child_is_cancelled_as_its_parent_is(saga: Engine, compensate: object) -> None:
    parent = await saga.start("t/parent")
    await carry_out(saga)
    command = await one(saga, "one")
    await saga.complete(command)
    await executions.cancel(saga.appender, parent, compensate=bool(compensate))
    await carry_out(saga)
    assert (await saga.types(parent))[-1] == "execution.cancelled"
    child = await saga.state(command.execution_id)
    assert child.status == ("compensating" if compensate else "cancelled")
    if compensate:
        await saga.complete(await one(saga, "one"))
    with pytest.raises(Conflict) as refused:
        await executions.reopen(saga.checkout, saga.appender, command.execution_id)
    assert refused.value.code == "has_parent"
    await check_rests(saga, command.execution_id)


async def failed(engine: Engine) -> int:
    execution_id = await engine.start("t/line")
    await engine.complete(await one(engine, "one"), 7)
    first, second = await engine.claim()
    await engine.settle(result_of(first), result_of(second, error=ERROR))
    assert (await engine.types(execution_id))[-1] == "execution.failed"
    return execution_id


async def test_a_retry_completes_in_the_same_stream_with_one_further_end(saga: Engine) -> None:
    execution_id = await failed(saga)
    deadline = "select deadline from playlog.execution where execution_id = $1"
    before = await saga.value(deadline, execution_id)
    done = await executions.reopen(saga.checkout, saga.appender, execution_id, step="each", reason="mended")
    assert done.status == "running"
    state = await saga.state(execution_id)
    assert await saga.value(deadline, execution_id) == state.deadline
    assert state.deadline > before  # type: ignore[operator]
    timer = "select timer_key from playlog.timer where execution_id = $1"
    assert await saga.value(timer, execution_id) == "each:deadline"
    assert await timers.overdue(saga.connection, execution_id - 1, 1) == ([], execution_id)
    assert await saga.work() == 2
    types = await saga.types(execution_id)
    assert [kind for kind in types if kind in TERMINAL] == ["execution.failed", "execution.completed"]
    assert types[-1] == "execution.completed"
    assert types.count("execution.reopened") == 1
    await check_rests(saga, execution_id)


async def test_a_retry_is_refused_with_why(saga: Engine) -> None:
    execution_id = await failed(saga)

    async def code(**more: str) -> str:
        with pytest.raises(Conflict) as refused:
            await executions.reopen(saga.checkout, saga.appender, execution_id, **more)
        return refused.value.code

    assert await code(step="one") == "not_failed"
    await executions.reopen(saga.checkout, saga.appender, execution_id)
    assert await code() == "not_ended"
    await saga.work()
    assert await code() == "terminal_execution"
    with pytest.raises(NotFound):
        await executions.reopen(saga.checkout, saga.appender, 4711)
