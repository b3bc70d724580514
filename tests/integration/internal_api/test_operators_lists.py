"""What operators look at comes in pages: incidents newest first, workers by name."""

from __future__ import annotations

from engine.read.incidents import report_poison, resolve_poison
from tests.support.internal_api import Client, result


async def test_incidents_are_listed_newest_first_by_state(client: Client) -> None:
    connection = client.engine.connection
    for execution_id in (5, 6, 7):
        await report_poison(connection, {execution_id: "no fold"})
    await resolve_poison(connection, [6])
    newest = (await client.get("/incidents?limit=2")).body
    rest = (await client.get(f"/incidents?cursor={newest['next_cursor']}")).body
    found = newest["incidents"] + rest["incidents"]
    assert [each["execution_id"] for each in found] == [7, 6, 5]
    assert [each["resolved_at"] is None for each in found] == [True, False, True]
    assert (found[0]["kind"], found[0]["subject"], found[0]["detail"]) == ("poison_execution", "7", "no fold")
    assert rest["next_cursor"] is None
    for state, expected in (("open", [7, 5]), ("resolved", [6])):
        page = (await client.get(f"/incidents?state={state}")).body["incidents"]
        assert [each["execution_id"] for each in page] == expected
    assert (await client.get("/incidents?state=x")).status == 422


async def test_a_compensation_that_failed_is_among_the_open_incidents(client: Client) -> None:
    source = """
playbook: t/saga
steps:
  - {name: book, tool: noop, compensate: {tool: noop, retry: {max_attempts: 1}}}
  - {name: pay, tool: noop}
"""
    await client.engine.register(source)
    execution_id = await client.start("t/saga")
    await client.settle(*(result(command) for command in await client.claim()))
    failed = {"status": "failed", "error": {"code": "no_seat", "message": "no seat"}}
    for _ in range(2):
        await client.settle(*({**result(command), **failed} for command in await client.claim()))
    assert (await client.engine.types(execution_id))[-2:] == ["compensation.failed", "execution.failed"]
    (found,) = (await client.get("/incidents?state=open")).body["incidents"]
    assert (found["kind"], found["execution_id"]) == ("compensation_failed", execution_id)
    assert found["subject"] == f"{execution_id}/book"
    assert "no_seat" in found["detail"]


async def test_workers_are_listed_by_name(client: Client) -> None:
    for name in ("w2", "w1", "w3"):
        await client.post("/commands/heartbeat", {"worker_id": name, "commands": [], "slots": 4})
    first = (await client.get("/workers?limit=2")).body
    rest = (await client.get(f"/workers?cursor={first['next_cursor']}")).body
    assert [each["runtime_id"] for each in first["workers"] + rest["workers"]] == ["w1", "w2", "w3"]
    assert rest["next_cursor"] is None
