"""Messages between executions: a child is started once, its parent told once, a cancel cascades."""

from __future__ import annotations

from engine.errors import NotFound
from engine.write import deliveries, executions
from engine.write.append import Context, append
from engine.write.requests import Delivery
from tests.support.engine import Engine
from tests.support.projecting import append_foreign, foreign

CHILD = """
playbook: t/child
inputs: {n: {type: integer}}
steps: [{name: work, tool: noop}]
output: "${ inputs.n + 1 }"
"""
PARENT = """
playbook: t/parent
steps:
  - {name: child, tool: playbook, with: {playbook: t/child, inputs: {n: 41}}}
output: "${ steps.child.output }"
"""


async def deliver(engine: Engine, *, twice: bool = False) -> None:
    """Carry out what the commits since the last call have written."""
    batch: list[Delivery] = []
    while engine.committed:
        batch += engine.committed.pop(0).deliveries
    if batch:
        for _ in range(2 if twice else 1):
            await deliveries.carry_out(engine.connection, engine.appender, engine.definitions, batch)
        await deliver(engine, twice=twice)


async def taken(engine: Engine) -> Delivery:
    """The one delivery that the commits since the last call have written."""
    (delivery,) = [each for committed in engine.committed for each in committed.deliveries]
    engine.committed.clear()
    return delivery


async def carry_out(engine: Engine, *batch: Delivery) -> deliveries.Carried:
    return await deliveries.carry_out(engine.connection, engine.appender, engine.definitions, batch)


async def both(engine: Engine) -> tuple[int, int]:
    await engine.register(CHILD)
    await engine.register(PARENT)
    parent = await engine.start("t/parent")
    await deliver(engine)
    child = await engine.value("select execution_id from playlog.execution where parent_id = $1", parent)
    assert isinstance(child, int)
    return parent, child


async def test_a_child_runs_and_its_output_is_the_steps_output(engine: Engine) -> None:
    parent, child = await both(engine)
    assert (await engine.state(parent)).status == "waiting"
    assert await engine.work() == 1
    await deliver(engine)
    log = await engine.log(parent)
    assert log[-1].payload == {"output": 42}
    assert [event.event_type for event in log] == [
        "execution.started",
        "child.started",
        "child.completed",
        "step.completed",
        "execution.completed",
    ]
    assert (await engine.state(child)).status == "completed"
    assert await engine.value("select count(*) from playlog.delivery") == 0


async def test_deliveries_that_come_twice_change_nothing(engine: Engine) -> None:
    await engine.register(CHILD)
    await engine.register(PARENT)
    parent = await engine.start("t/parent")
    await deliver(engine, twice=True)
    await engine.work()
    await deliver(engine, twice=True)
    assert (await engine.types(parent)).count("child.completed") == 1
    assert await engine.value("select count(*) from playlog.execution") == 2


async def test_cancelling_the_parent_cancels_the_child(engine: Engine) -> None:
    parent, child = await both(engine)
    await executions.cancel(engine.appender, parent, "enough")
    await deliver(engine)
    assert (await engine.state(child)).status == "cancelled"
    assert await engine.claim() == []
    assert await engine.value("select count(*) from playlog.delivery") == 0


async def test_a_child_whose_playbook_is_missing_fails_the_step_and_says_so(engine: Engine) -> None:
    await engine.register(PARENT)
    parent = await engine.start("t/parent")
    await deliver(engine)
    state = await engine.state(parent)
    assert state.status == "failed"
    payload = (await engine.log(parent))[-1].payload
    assert isinstance(payload, dict)
    assert payload["error"]["code"] == "child_failed"
    assert await engine.value("select count(*) from playlog.delivery") == 0


async def test_a_start_that_was_carried_out_already_does_not_fail_the_healthy_child(engine: Engine) -> None:
    await engine.register(CHILD)
    await engine.register(PARENT)
    parent = await engine.start("t/parent")
    start = await taken(engine)
    await carry_out(engine, start)
    await engine.connection.execute("update playlog.playbook set paused = true where path = 't/child'")
    # Somebody slower now finds that the playbook cannot be started.
    assert await carry_out(engine, start) == deliveries.Carried(done=1)
    assert (await engine.state(parent)).status == "waiting"
    assert "child.completed" not in await engine.types(parent)


async def test_a_delivery_that_comes_twice_in_one_group_is_carried_out_once(engine: Engine) -> None:
    await engine.register(CHILD)
    await engine.register(PARENT)
    parent = await engine.start("t/parent")
    start = await taken(engine)
    started = await deliveries._request(engine.connection, engine.definitions, start)
    failed = deliveries._never_started(start, NotFound("gone"))
    _, second = (await append(engine.connection, [started, failed], Context()))[0]
    assert second.verdicts == []
    assert await engine.types(parent) == ["execution.started", "child.started"]
    assert await engine.value("select count(*) from playlog.delivery") == 0


async def test_a_child_whose_id_another_system_uses_fails_the_step(engine: Engine) -> None:
    await engine.register(CHILD)
    await engine.register(PARENT)
    parent = await engine.start("t/parent")
    start = await taken(engine)
    await append_foreign(engine.connection, start.target, foreign("node.started", 1))
    assert await carry_out(engine, start) == deliveries.Carried(done=1)
    payload = (await engine.log(parent))[-1].payload
    assert isinstance(payload, dict)
    assert payload["error"]["code"] == "child_failed"
    assert await engine.value("select count(*) from playlog.delivery") == 0
