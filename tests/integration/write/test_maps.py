"""Maps on a real database: one outcome an item, whatever becomes of workers, children and other items."""

from __future__ import annotations

from collections import Counter

import orjson

from engine.domain.admit import Verdict
from engine.domain.events import NewEvent
from engine.domain.snapshot import encode
from engine.write import commands, timers
from engine.write.append import Context, append
from engine.write.commands import Claimed, Result
from engine.write.requests import Request
from sql import queries
from tests.support.engine import Engine, result_of

MAPPED = """
playbook: t/map
inputs: {count: {type: integer}, items: {type: array}}
steps:
  - {name: each, tool: noop, map: {items: "${ inputs.items }", max_in_flight: 100%s}, timeout: 10m,
     retry: {max_attempts: 2, delay: 1ms, jitter: 0}, with: {of: "${ item }", place: "${ item_index }"}}
output: {sum: "${ steps.each.output.filter(o, o != null).size() }", errors: "${ steps.each.errors }",
         last: "${ steps.each.output[0] }"}
"""
CHILD = """
playbook: t/child
inputs: {of: {type: integer}}
steps: [{name: work, tool: noop, with: {of: "${ inputs.of }"}}]
output: "${ steps.work.output }"
"""
PARENT = """
playbook: t/parent
steps:
  - {name: each, tool: playbook, map: {items: [1, 2, 3, 4], max_in_flight: 2, on_item_error: continue},
     retry: {max_attempts: 2, delay: 1ms}, with: {playbook: t/child, inputs: {of: "${ item }"}}}
output: {rows: "${ steps.each.output }", errors: "${ steps.each.errors }"}
"""
OPEN = "select count(*) from playlog.command where state <> 'closed'"
OUTCOMES = frozenset({"command.completed", "command.failed", "command.expired"})


async def started(engine: Engine, count: int, more: str = "") -> int:
    await engine.register(MAPPED % more)
    return await engine.start("t/map", inputs={"items": list(range(count)), "count": count})


async def output_of(engine: Engine, execution_id: int) -> dict[str, object]:
    last = (await engine.log(execution_id))[-1]
    assert last.event_type == "execution.completed", last.payload
    assert isinstance(last.payload, dict)
    output: dict[str, object] = last.payload["output"]
    return output


async def expire(engine: Engine, command: Claimed, *, timed_out: bool) -> None:
    """The lease of a command runs out, at the attempt's deadline or before it."""
    deadline = "deadline = clock_timestamp() - interval '2 s', " if timed_out else ""
    await engine.connection.execute(
        f"update playlog.command set {deadline}leased_until = clock_timestamp() - interval '1 s'"
        " where command_id = $1",
        command.command_id,
    )
    (request,) = await commands.expired(engine.connection, 10)
    await append(engine.connection, [request], Context())


async def test_a_thousand_items_have_one_outcome_each_and_give_their_outputs_in_order(engine: Engine) -> None:
    execution_id = await started(engine, 1_000)
    sizes: list[int] = []
    while claimed := await engine.claim(60):
        assert await engine.value(OPEN) <= 100  # type: ignore[operator]
        settled = await engine.settle(*(result_of(each, each.item) for each in reversed(claimed)))
        assert settled.count(Verdict.RECORDED) == len(claimed)
        again = await engine.settle(result_of(claimed[0], claimed[0].item))
        assert again.count(Verdict.DUPLICATE) == 1
        sizes.append(len(encode(await engine.state(execution_id))))
    log = await engine.log(execution_id)
    outcomes = Counter(event.item for event in log if event.event_type in OUTCOMES)
    assert outcomes == Counter(range(1_000))
    assert Counter(event.event_type for event in log)["command.issued"] == 1_000
    assert max(sizes) < 25_000
    assert await output_of(engine, execution_id) == {"sum": 1_000, "errors": [], "last": 0}


async def test_lost_workers_time_outs_and_retries_are_an_items_own(engine: Engine) -> None:
    execution_id = await started(engine, 4, ", on_item_error: continue")
    lost, late, failing, good = await engine.claim()
    await engine.complete(good, "good")
    await expire(engine, lost, timed_out=False)
    await expire(engine, late, timed_out=True)
    await engine.settle(result_of(failing, error={"code": "bad", "message": "no"}))
    tried = await again(engine, {0, 1, 2})
    assert {each.attempt for each in tried.values()} == {2}
    await engine.complete(tried[0], "found")
    await engine.settle(result_of(tried[2], error={"code": "bad", "message": "no"}))
    await expire(engine, tried[1], timed_out=True)
    output = await output_of(engine, execution_id)
    assert (output["sum"], output["last"]) == (2, "found")
    errors = output["errors"]
    assert isinstance(errors, list)
    assert [(error["item"], error["code"]) for error in errors] == [(1, "timeout"), (2, "bad")]
    late_result = await engine.settle(result_of(lost, "too late"))
    assert late_result.verdicts[0].verdict == "late"


async def again(engine: Engine, items: set[int | None]) -> dict[int | None, Claimed]:
    """Claim until these items are held: retries become due a moment later."""
    found: dict[int | None, Claimed] = {}
    while items - found.keys():
        found |= {command.item: command for command in await engine.claim()}
    return found


async def test_the_first_item_given_up_cancels_the_others_and_fails_the_step(engine: Engine) -> None:
    execution_id = await started(engine, 300)
    first, second, *_ = await engine.claim()
    await engine.complete(second)
    for attempt in (first, None):
        command = attempt or (await again(engine, {first.item}))[first.item]
        await engine.settle(result_of(command, error={"code": "bad", "message": "no"}))
    state = await engine.state(execution_id)
    found = state.steps["each"].map
    assert found is not None
    assert (state.status, found.failures, found.successes) == ("failed", 1, 1)
    assert (found.open, found.next, state.commands) == ({}, 101, {})
    assert await engine.value(OPEN) == 0


async def test_children_are_items_and_are_started_anew_when_they_fail(engine: Engine) -> None:
    await engine.register(CHILD)
    await engine.register(PARENT)
    execution_id = await engine.start("t/parent")
    failed: Counter[int] = Counter()
    while (await engine.state(execution_id)).status != "completed":
        await engine.deliver()
        await fire(engine)
        results: list[Result] = []
        for command in await engine.claim():
            of = orjson.loads(command.input)["of"]
            failed[of] += of in {2, 3}
            bad = of == 3 or (of == 2 and failed[of] == 1)
            error = {"code": "bad", "message": "no"} if bad else None
            results.append(result_of(command, {"done": of}, error))
        await engine.settle(*results)
    output = await output_of(engine, execution_id)
    assert output["rows"] == [{"done": 1}, {"done": 2}, None, {"done": 4}]
    errors = output["errors"]
    assert isinstance(errors, list)
    assert [(error["item"], error["attempt"]) for error in errors] == [(2, 2)]
    told = [event.item for event in await engine.log(execution_id) if event.event_type == "child.completed"]
    assert Counter(told) == {0: 1, 1: 2, 2: 2, 3: 1}


async def fire(engine: Engine) -> None:
    """Carry out what timers are due."""
    await engine.appender.submit_all(await timers.due(engine.connection, 10))


async def test_a_writer_that_remembers_the_map_does_not_read_its_items_again(engine: Engine) -> None:
    execution_id = await started(engine, 3_000)
    context, asked = Context(), list[str]()
    payload = {"status": "COMPLETED", "data": "x" * 100}
    for number, command in enumerate(await engine.claim(100)):
        event = NewEvent(
            event_type="command.completed",
            status="COMPLETED",
            payload=payload,
            command_id=command.command_id,
            lease_token=command.lease_token,
        )
        with engine.connection.query_logger(lambda record: asked.append(record.query)):
            await append(engine.connection, [Request(execution_id=execution_id, events=(event,))], context)
        if number == 0:
            asked.clear()
    assert asked
    assert queries.load("append").carried not in asked
