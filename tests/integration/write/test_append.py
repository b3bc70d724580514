"""The append decides in the transaction that records."""

from tests.support.engine import Engine

TWO_STEPS = """
playbook: tests/two
steps:
  - {name: first, tool: noop}
  - {name: second, tool: noop}
output: "${ {'first': steps.first.output} }"
"""


async def test_a_sequential_step_records_three_events(engine: Engine) -> None:
    await engine.register(TWO_STEPS)
    execution_id = await engine.start("tests/two")
    assert await engine.work(lambda command: {"step": command.step}) == 2
    assert await engine.types(execution_id) == [
        "execution.started",
        *["command.issued", "command.completed", "step.completed"] * 2,
        "execution.completed",
    ]
    log = await engine.log(execution_id)
    assert [event.version for event in log] == list(range(1, 9))
    assert log[-1].payload == {"output": {"first": {"step": "first"}}}
    head = await engine.connection.fetchrow("select * from playlog.execution")
    assert head is not None
    assert (head["version"], head["status"], head["last_event_id"]) == (8, "completed", log[-1].event_id)
    assert await engine.value("select count(*) from playlog.command where state <> 'closed'") == 0
    assert await engine.value("select sum(last_version - first_version + 1) from playlog.outbox") == 8
