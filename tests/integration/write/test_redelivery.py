"""P2: the same event again is a duplicate; the same id with another content is a conflict."""

from __future__ import annotations

from dataclasses import replace

from engine.domain.admit import Verdict
from engine.domain.events import NewEvent
from engine.write.requests import Request
from tests.support.engine import Engine, result_of

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"


def note(event_id: int, payload: object = None) -> NewEvent:
    return NewEvent(event_type="order.noted", status="RUNNING", event_id=event_id, payload=payload)


async def append(engine: Engine, execution_id: int, *events: NewEvent) -> list[Verdict]:
    outcome = await engine.appender.submit(Request(execution_id=execution_id, events=events))
    return [admission.verdict for admission in outcome.verdicts]


async def test_events_that_come_twice_are_duplicates_and_the_log_is_unchanged(engine: Engine) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    batch = (note(1), note(2, {"x": 1}))
    assert await append(engine, execution_id, *batch) == [Verdict.RECORDED] * 2
    before = await engine.log(execution_id)
    assert await append(engine, execution_id, *batch) == [Verdict.DUPLICATE] * 2
    assert await append(engine, execution_id, *batch, note(3)) == [
        Verdict.DUPLICATE,
        Verdict.DUPLICATE,
        Verdict.RECORDED,
    ]
    assert (await engine.log(execution_id))[:-1] == before


async def test_the_same_id_with_another_content_is_a_conflict_by_index(engine: Engine) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    await append(engine, execution_id, note(1, "a"))
    outcome = await engine.appender.submit(
        Request(execution_id=execution_id, events=(note(1, "b"), note(2, "c")))
    )
    assert [admission.code for admission in outcome.verdicts] == ["conflict", ""]
    assert (await engine.types(execution_id)).count("order.noted") == 2


async def test_a_duplicate_inside_one_batch_is_stored_once(engine: Engine) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    assert await append(engine, execution_id, note(1), note(1)) == [Verdict.RECORDED, Verdict.DUPLICATE]


async def test_a_settle_that_comes_twice_is_a_duplicate_even_after_the_end(engine: Engine) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    (command,) = await engine.claim()
    first = await engine.complete(command, {"x": 1})
    again = await engine.complete(command, {"x": 1})
    assert [first.verdicts[0].verdict, again.verdicts[0].verdict] == [Verdict.RECORDED, Verdict.DUPLICATE]
    assert first.versions == again.versions == {execution_id: 5}


async def test_another_result_for_a_settled_command_is_recorded_as_late_once(engine: Engine) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    (command,) = await engine.claim()
    await engine.complete(command, 1)
    other = result_of(command, error={"code": "boom", "message": "boom"})
    assert (await engine.settle(other)).verdicts[0].verdict is Verdict.LATE
    assert (await engine.settle(other)).verdicts[0].verdict is Verdict.DUPLICATE
    assert (await engine.types(execution_id)).count("command.late") == 1
    assert (await engine.state(execution_id)).status == "completed"


async def test_a_third_result_under_the_same_lease_is_a_conflict_and_never_silently_dropped(
    engine: Engine,
) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    (command,) = await engine.claim()
    answers = [await engine.complete(command, output) for output in (1, 2, 3, 2, 1)]
    assert [answer.verdicts[0].verdict for answer in answers] == [
        Verdict.RECORDED,
        Verdict.LATE,
        Verdict.REJECTED,
        Verdict.DUPLICATE,
        Verdict.DUPLICATE,
    ]
    assert answers[2].verdicts[0].code == "conflict"
    late = [event.payload for event in await engine.log(execution_id) if event.event_type == "command.late"]
    told = {"event_type": "command.completed", "result": {"status": "COMPLETED", "data": 2}}
    assert late == [told]


async def test_results_of_one_command_in_one_batch_are_judged_as_if_they_came_one_by_one(
    engine: Engine,
) -> None:
    await engine.register(ONE)
    await engine.start("t/one")
    (command,) = await engine.claim()
    answer = await engine.settle(*(result_of(command, output) for output in (1, 2, 3, 2, 1)))
    assert [(each.verdict.value, each.code) for each in answer.verdicts] == [
        ("recorded", ""),
        ("late", ""),
        ("rejected", "conflict"),
        ("duplicate", ""),
        ("duplicate", ""),
    ]


async def test_a_token_that_never_belonged_to_the_command_is_a_stale_lease(engine: Engine) -> None:
    await engine.register(ONE)
    await engine.start("t/one")
    (command,) = await engine.claim()
    stolen = replace(command, lease_token=command.lease_token + 1)
    assert (await engine.complete(stolen)).verdicts[0].code == "stale_lease"
    unknown = replace(command, command_id=12345)
    assert (await engine.complete(unknown)).verdicts[0].code == "unknown_command"


async def test_an_unknown_execution_is_refused_by_index_and_others_land(engine: Engine) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    outcomes = await engine.appender.submit_all(
        [
            Request(execution_id=99, events=(note(1),)),
            Request(execution_id=execution_id, events=(note(1),)),
        ]
    )
    assert outcomes[0].verdicts[0].code == "unknown_execution"
    assert outcomes[1].verdicts[0].verdict is Verdict.RECORDED
