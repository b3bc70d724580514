"""One execution as the public API shows it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.domain.events import iso, parse_iso
from engine.errors import NotFound
from engine.read import executions, history
from engine.read.projection import advance
from engine.write import executions as write
from tests.support.engine import Engine, result_of
from tests.support.projecting import FOREIGN, TWO_STEPS, WAITING, append_foreign, foreign, play_some


async def test_a_complete_execution_shows_inputs_output_and_progress(engine: Engine) -> None:
    registered = await engine.register(TWO_STEPS)
    execution_id = await engine.start("tests/two", inputs={"name": "x"}, labels={"team": "a"}, key="order-1")
    await engine.work(lambda command: {"step": command.step})
    await advance(engine.connection, [execution_id])
    log = await engine.log(execution_id)
    found = await executions.get(engine.connection, execution_id)
    assert found is not None
    assert found.etag == "8.1"
    assert found.document == {
        "execution_id": str(execution_id),
        "playbook": "tests/two",
        "playbook_version": 1,
        "definition_hash": registered.definition_hash.hex(),
        "status": "completed",
        "version": 8,
        "inputs": {"name": "x"},
        "output": {"greeting": {"step": "first"}},
        "error": None,
        "labels": {"team": "a"},
        "key": "order-1",
        "started_at": iso(log[0].recorded_at),
        "ended_at": iso(log[-1].recorded_at),
        "parent": None,
        "current_steps": [],
        "progress": {"total": 2, "completed": 2, "failed": 0, "running": 0, "skipped": 0, "items": None},
        "waiting_for": [],
    }
    assert await executions.by_key(engine.connection, "order-1") == execution_id
    assert await executions.by_key(engine.connection, "order-2") is None


async def test_a_failed_execution_shows_its_error(engine: Engine) -> None:
    _, failed, _ = await play_some(engine)
    await advance(engine.connection, [failed])
    found = await executions.get(engine.connection, failed)
    assert found is not None
    assert (found.document["status"], found.document["output"]) == ("failed", None)
    error = found.document["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["step"]) == ("boom", "first")


async def test_a_live_execution_shows_whom_it_waits_for(engine: Engine) -> None:
    await engine.register(WAITING)
    execution_id = await engine.start("tests/waiting")
    opened = (await engine.log(execution_id))[1]
    await advance(engine.connection, [execution_id])
    found = await executions.get(engine.connection, execution_id)
    assert found is not None
    assert (found.document["status"], found.document["current_steps"]) == ("waiting", ["ask"])
    until = iso(opened.recorded_at + timedelta(hours=1))
    waiting = found.document["waiting_for"]
    assert isinstance(waiting, list)
    said = [{name: each[name] for name in ("what", "step", "since", "until", "owner")} for each in waiting]
    since = iso(opened.recorded_at)
    assert said == [
        {"what": "signal", "step": "ask", "since": since, "until": until, "owner": "signal:answer"}
    ]
    await write.signal(engine.appender, execution_id, "answer", 42)
    await advance(engine.connection, [execution_id])
    found = await executions.get(engine.connection, execution_id)
    assert found is not None
    assert found.document["progress"] == {
        "total": 2,
        "completed": 1,
        "failed": 0,
        "running": 1,
        "skipped": 0,
        "items": None,
    }
    waiting = found.document["waiting_for"]
    assert isinstance(waiting, list)
    state = await engine.state(execution_id)
    assert state.deadline is not None
    assert [(each["step"], each["owner"], each["until"]) for each in waiting] == [
        ("act", "pool:gpu", iso(state.deadline))
    ]
    [attempt] = await executions.attempts(engine.connection, execution_id, "ask")
    assert (attempt["status"], attempt["output"]) == ("completed", 42)


async def test_a_foreign_execution_is_shown_without_a_definition(engine: Engine) -> None:
    await append_foreign(engine.connection, FOREIGN, foreign("node.started", 1, step="a"))
    await append_foreign(engine.connection, FOREIGN, foreign("playbook.completed", 2, payload={"output": 1}))
    await advance(engine.connection, [FOREIGN])
    found = await executions.get(engine.connection, FOREIGN)
    assert found is not None
    assert found.document["definition_hash"] is None
    assert (found.document["status"], found.document["inputs"]) == ("completed", None)
    assert found.document["progress"] == {
        "total": 1,
        "completed": 0,
        "failed": 0,
        "running": 1,
        "skipped": 0,
        "items": None,
    }


async def test_what_is_not_projected_is_none(engine: Engine) -> None:
    assert await executions.get(engine.connection, 1) is None
    assert await executions.steps(engine.connection, 1) is None
    assert await executions.attempts(engine.connection, 1, "a") == []


async def test_an_execution_is_shown_as_it_was_at_each_version(engine: Engine) -> None:
    complete, *_ = await play_some(engine)
    await advance(engine.connection, [complete])
    statuses = [
        (await executions.get_at(engine.connection, complete, n)).document["status"] for n in (0, 1, 8)
    ]
    assert statuses == ["pending", "running", "completed"]
    newest = await executions.get(engine.connection, complete)
    assert await executions.get_at(engine.connection, complete, 1000) == newest
    with pytest.raises(NotFound):
        await executions.get_at(engine.connection, 17, 1)


async def test_a_snapshot_in_another_folds_form_is_still_shown(engine: Engine) -> None:
    complete, *_ = await play_some(engine)
    await advance(engine.connection, [complete])
    before = await executions.get(engine.connection, complete)
    await engine.connection.execute("update playlog.snapshot set fold_version = 2, state = '{}'")
    after = await executions.get(engine.connection, complete)
    assert before is not None
    assert after is not None
    assert after.document == before.document
    assert after.etag == "8.2"


async def test_steps_come_in_the_order_of_the_playbook(engine: Engine) -> None:
    complete, failed, _ = await play_some(engine)
    await advance(engine.connection, [complete, failed])
    shown = await executions.steps(engine.connection, failed)
    assert shown is not None
    assert [(step["step"], step["status"], step["attempts"]) for step in shown] == [
        ("first", "failed", 1),
        ("second", "pending", 0),
    ]


async def test_attempts_say_who_did_what_and_when(engine: Engine) -> None:
    complete, failed, _ = await play_some(engine)
    log = await engine.log(complete)
    assert await executions.attempts(engine.connection, complete, "first") == [
        {
            "attempt": 1,
            "item": None,
            "status": "completed",
            "command_id": str(log[1].command_id),
            "worker": "w1",
            "issued_at": iso(log[1].recorded_at),
            "started_at": None,
            "ended_at": iso(log[2].recorded_at),
            "output": {"step": "first"},
            "error": None,
        }
    ]
    [attempt] = await executions.attempts(engine.connection, failed, "first")
    assert attempt["status"] == "failed"
    assert attempt["error"] == {"code": "boom", "message": "no"}


async def test_a_repeated_attempt_is_its_own_entry_and_cancelling_closes_the_last(engine: Engine) -> None:
    await engine.register(
        TWO_STEPS.replace("tool: noop\nout", "tool: noop\n    retry: {max_attempts: 2}\nout")
    )
    execution_id = await engine.start("tests/two")
    await engine.settle(result_of((await engine.claim())[0]))
    await engine.settle(result_of((await engine.claim())[0], error={"code": "boom", "message": ""}))
    await write.cancel(engine.appender, execution_id, "enough")
    shown = await executions.attempts(engine.connection, execution_id, "second")
    assert [(each["attempt"], each["status"]) for each in shown] == [(1, "failed"), (2, "cancelled")]
    ended_at = parse_iso(shown[1]["ended_at"])
    standing = await history.head(engine.connection, execution_id)
    assert standing is not None
    assert ended_at == standing.ended_at


async def test_events_are_paged_and_narrowed(engine: Engine) -> None:
    complete, *_ = await play_some(engine)
    log = await engine.log(complete)
    connection = engine.connection
    assert await history.events(connection, complete) == log
    assert await history.events(connection, complete, after_version=2, up_to=5, limit=2) == log[2:4]
    wanted = await history.events(connection, complete, types=["step.completed"])
    assert [event.version for event in wanted] == [4, 7]
    assert await history.version_at(connection, complete, log[3].recorded_at) >= 4
    assert await history.version_at(connection, complete, log[0].recorded_at - timedelta(days=1)) == 0
    assert [page async for page in history.prefix(connection, complete, 3)] == [log[:3]]
