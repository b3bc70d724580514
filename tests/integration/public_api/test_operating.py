"""Operators pause, retry and undo executions and pause playbooks, over HTTP and by the command line."""

from __future__ import annotations

import asyncio

import pytest
from typer.testing import CliRunner, Result

from engine.runtime import settings_loading
from engine.write import commands, deliveries
from engine.write.definitions import Definitions
from playlog.cli.app import app
from tests.support.engine import result_of
from tests.support.public_api import PublicApi

SAGA = """
playbook: tests/saga
steps:
  - {name: book, tool: noop, compensate: {tool: noop}}
  - {name: pay, tool: noop}
"""
CHILD = "{playbook: tests/parent, steps: [{name: child, tool: playbook, with: {playbook: tests/one}}]}"
BOOM = {"code": "boom", "message": "boom"}


@pytest.fixture
async def api(api: PublicApi) -> PublicApi:
    for source in (SAGA, CHILD):
        await api.register(source)
    return api


async def work(api: PublicApi, error: object = None) -> list[str]:
    """Settle every command that can be claimed; returns their steps."""
    claimed = await commands.claim(api.connection, worker_id="w", pool="default", limit=9, lease_seconds=9)
    results = [result_of(command, error=error) for command in claimed]
    await commands.settle(api.connection, api.appender, "w", results)
    return [command.step for command in claimed]


async def test_a_paused_execution_gets_no_worker_until_it_is_resumed(api: PublicApi) -> None:
    execution_id = await api.start()
    path = f"/executions/{execution_id}"
    paused = await api.post(f"{path}/pause", {"reason": "the bank is closed"})
    assert (paused.status, paused.json["status"]) == (202, "paused")
    assert paused.headers["Playlog-Version"] == str(paused.json["version"])
    assert (await api.post(f"{path}/pause")).json == paused.json
    assert await work(api) == []
    resumed = await api.post(f"{path}/resume")
    assert (resumed.status, resumed.json["status"]) == (202, "running")
    assert await work(api) == ["only"]
    events = (await api.get(f"{path}/events?types=execution.paused")).json["items"]
    assert [event["payload"] for event in events] == [{"reason": "the bank is closed"}]
    for verb in ("pause", "resume", "retry"):
        answer = await api.post(f"{path}/{verb}")
        assert (answer.status, answer.json["code"]) == (409, "terminal_execution")
    await api.project(execution_id)
    assert (await api.get(path)).json["status"] == "completed"


async def test_a_failed_execution_is_retried_in_its_own_stream(api: PublicApi) -> None:
    execution_id = await api.start()
    path = f"/executions/{execution_id}"
    assert (await api.post(f"{path}/retry")).json["code"] == "not_ended"
    await work(api, BOOM)
    await api.project(execution_id)
    other = await api.post(f"{path}/retry", {"inputs": {"name": "x"}})
    assert (other.status, other.json["errors"][0]["loc"]) == (422, ["body", "inputs"])
    assert "start a new execution" in other.json["detail"]
    assert (await api.post(f"{path}/retry", {"step": "nope"})).json["code"] == "not_failed"
    retried = await api.post(f"{path}/retry", {"step": "only", "reason": "mended"})
    assert (retried.status, retried.json["status"]) == (202, "running")
    await api.project(execution_id)
    shown = (await api.get(path)).json
    assert (shown["status"], shown["ended_at"], shown["error"]) == ("running", None, None)
    await work(api)
    await api.project(execution_id)
    assert (await api.get(path)).json["output"] == "world"
    attempts = (await api.get(f"{path}/steps")).json["items"]
    assert [each["attempts"] for each in attempts] == [2]


async def test_a_cancel_with_compensation_is_answered_before_it_is_done(api: PublicApi) -> None:
    execution_id = await api.start("tests/saga")
    await work(api)
    path = f"/executions/{execution_id}"
    first = await api.post(f"{path}/cancel", {"compensate": True, "reason": "enough"})
    assert (first.status, first.json["status"]) == (202, "compensating")
    assert (await api.post(f"{path}/cancel", {"compensate": True})).json == first.json
    for verb in ("cancel", "pause", "resume", "signals/go"):
        answer = await api.post(f"{path}/{verb}", {})
        assert (answer.status, answer.json["code"]) == (409, "compensating"), verb
    assert await work(api) == ["book"]
    again = await api.post(f"{path}/cancel", {"compensate": True})
    assert (again.status, again.json["status"]) == (202, "cancelled")
    retried = await api.post(f"{path}/retry")
    assert (retried.status, retried.json["code"]) == (409, "compensated")


async def test_a_paused_playbook_starts_nothing_by_whomever(api: PublicApi) -> None:
    known = await api.start(key="mine")
    parent = await api.start("tests/parent")
    answer = await api.call("PATCH", "/playbooks/tests/one", json={"paused": True})
    assert (answer.status, answer.json["path"], answer.json["paused"]) == (200, "tests/one", True)
    refused = await api.post("/executions", {"playbook": "tests/one"})
    assert (refused.status, refused.json["code"]) == (409, "paused")
    replayed = await api.post("/executions", {"playbook": "tests/one", "key": "mine"})
    assert (replayed.status, replayed.json["execution_id"]) == (200, str(known))
    await api.connection.execute("update playlog.delivery set available_at = now() - interval '5 s'")
    due = await deliveries.due(api.connection, 9)
    await deliveries.carry_out(api.connection, api.appender, Definitions(), due)
    events = (await api.get(f"/executions/{parent}/events")).json["items"]
    assert events[-1]["payload"]["error"]["details"] == {"code": "paused"}
    assert await work(api) == ["only"]
    listed = (await api.get("/playbooks?paused=true")).json["items"]
    assert [each["path"] for each in listed] == ["tests/one"]
    allowed = await api.call("PATCH", "/playbooks/tests/one", json={"paused": False})
    assert allowed.json["paused"] is False
    assert await api.start() > known
    for body, path, status in (
        ({}, "tests/one", 422),
        ({"paused": 1}, "tests/one", 422),
        ({"paused": True}, "no", 404),
    ):
        assert (await api.call("PATCH", f"/playbooks/{path}", json=body)).status == status


@pytest.fixture
def typed(api: PublicApi, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in settings_loading.known_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLAYLOG_API_URL", f"http://127.0.0.1:{api.port}")
    return CliRunner()


async def test_the_command_line_does_it_too_and_says_what_to_do_instead(
    api: PublicApi, typed: CliRunner
) -> None:
    async def run(*words: str) -> Result:
        return await asyncio.to_thread(typed.invoke, app, list(words))

    execution_id = str(await api.start("tests/saga"))
    for words, said in (
        (("pause", execution_id, "--reason", "why"), "is paused at version 3"),
        (("resume", execution_id), "is running at version 4"),
        (("pause", "tests/saga"), "tests/saga is paused: no execution of it starts"),
    ):
        done = await run(*words)
        assert (done.exit_code, said in done.stdout) == (0, True), done.output
    refused = await run("run", "tests/saga")
    assert refused.exit_code == 5
    assert "`playlog resume PATH`" in refused.stderr
    assert '"paused": false' in (await run("resume", "tests/saga", "-o", "json")).stdout
    assert (await run("pause", "tests/saga", "--reason", "x")).exit_code == 2
    await work(api)
    assert "is compensating" in (await run("cancel", execution_id, "--compensate")).stdout
    refused = await run("cancel", execution_id)
    assert (refused.exit_code, "being undone" in refused.stderr) == (5, True)
    await work(api)
    refused = await run("retry", execution_id)
    assert (refused.exit_code, "have been undone" in refused.stderr) == (5, True)
    other = str(await api.start())
    await work(api, BOOM)
    assert "is running" in (await run("retry", other, "--step", "only")).stdout
