"""What a worker may rely on: commands, logs and payloads, the same of the real API and of its double."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from tests.contracts.conftest import Wire
    from tests.support.internal_api_stub import Body

FIELDS = {
    *("command_id", "execution_id", "step", "attempt", "item", "tool", "input", "handles", "deferred"),
    *("lease_token", "leased_until", "deadline", "timeout_seconds", "traceparent", "idempotency_key"),
}
NOWHERE = "4611686018427387904"
LATE_BY = timedelta(seconds=5)
BODY = b'{"large":1}'


def lease(command: Body) -> Body:
    return {name: command[name] for name in ("command_id", "lease_token")}


def completed(command: Body, output: object = None) -> Body:
    """A result with every member that the worker sends."""
    known = {"execution_id": command["execution_id"], "started_at": "2026-01-02T03:04:05.000000Z"}
    return lease(command) | known | {"status": "completed", "output": output}


def failed(command: Body) -> Body:
    result = completed(command) | {"status": "failed", "error": {"code": "broken", "message": "no luck"}}
    del result["output"]
    return result


def counted(answer: Body) -> tuple[int, list[int], list[tuple[int, str]]]:
    """How many are settled, which are late, and which are rejected for what."""
    rejected = [(refused["index"], refused["code"]) for refused in answer["rejected"]]
    return answer["settled"], answer["late"], rejected


async def test_a_claimed_command_has_the_fields_of_the_contract(wire: Wire) -> None:
    execution_id = await wire.implementation.issue()
    (command,) = await wire.claim(lease_seconds=30)
    assert command.keys() == FIELDS
    assert command["execution_id"] == execution_id
    for name in ("command_id", "execution_id", "lease_token"):
        assert isinstance(command[name], str)
        assert int(command[name]) > 0
    assert (command["step"], command["attempt"], command["item"]) == ("only", 1, None)
    assert (command["tool"], command["input"], command["handles"]) == ("noop", {"word": "hello"}, [])
    now = datetime.now(UTC)
    until, deadline = (datetime.fromisoformat(command[name]) for name in ("leased_until", "deadline"))
    assert abs(until - now - timedelta(seconds=30)) < LATE_BY
    assert abs(deadline - now - timedelta(seconds=command["timeout_seconds"])) < LATE_BY


async def test_a_claim_takes_as_many_as_its_limit_and_one_without_a_limit(wire: Wire) -> None:
    for _ in range(4):
        await wire.implementation.issue()
    taken = [await wire.claim(limit=2), await wire.claim(), await wire.claim(limit=5), await wire.claim()]
    assert [len(commands) for commands in taken] == [2, 1, 1, 0]
    assert len({command["command_id"] for commands in taken for command in commands}) == 4


async def test_a_claim_takes_only_its_tools_of_its_pool(wire: Wire) -> None:
    await wire.implementation.issue()
    assert (await wire.ask("claim", pool="another"))["commands"] == []
    assert await wire.claim(tools=["http"]) == []
    assert len(await wire.claim(tools=["http", "noop"])) == 1


async def test_a_waiting_claim_returns_when_a_command_is_issued(wire: Wire) -> None:
    assert await wire.claim(wait_seconds=0.05) == []
    waiting = asyncio.create_task(wire.claim(wait_seconds=20))
    early, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not early
    execution_id = await wire.implementation.issue()
    (command,) = await asyncio.wait_for(waiting, 5)
    assert command["execution_id"] == execution_id


async def test_completed_and_failed_results_are_settled(wire: Wire) -> None:
    commands = [await wire.issue_and_claim(), await wire.issue_and_claim()]
    answer = await wire.ask("settle", results=[completed(commands[0], {"n": 1}), failed(commands[1])])
    assert counted(answer) == (2, [], [])
    assert answer["commands"] == []
    assert answer["versions"].keys() == {command["execution_id"] for command in commands}
    assert all(version > 2 for version in answer["versions"].values())


async def test_a_result_sent_again_is_settled_both_times(wire: Wire) -> None:
    result = completed(await wire.issue_and_claim(), {"n": 1})
    for started_at in ("2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:06.000000Z"):
        answer = await wire.ask("settle", results=[result | {"started_at": started_at}])
        assert counted(answer) == (1, [], [])


async def test_another_result_for_a_settled_command_is_late(wire: Wire) -> None:
    command = await wire.issue_and_claim()
    await wire.ask("settle", results=[completed(command, 1)])
    answer = await wire.ask("settle", results=[completed(command, 1), completed(command, 2)])
    assert counted(answer) == (1, [1], [])


async def test_a_late_result_sent_again_is_settled_and_a_third_one_is_a_conflict(wire: Wire) -> None:
    command = await wire.issue_and_claim()
    found = [
        counted(await wire.ask("settle", results=[completed(command, output)])) for output in (1, 2, 2, 3)
    ]
    assert found == [(1, [], []), (0, [0], []), (1, [], []), (0, [], [(0, "conflict")])]


async def test_a_result_for_a_cancelled_execution_is_late(wire: Wire) -> None:
    command = await wire.issue_and_claim()
    await wire.implementation.cancel(command["execution_id"])
    assert counted(await wire.ask("settle", results=[completed(command)])) == (0, [0], [])


async def test_results_are_rejected_one_by_one_with_their_index(wire: Wire) -> None:
    stale, good = await wire.issue_and_claim(), await wire.issue_and_claim()
    results = [
        completed(stale) | {"lease_token": NOWHERE},
        completed(stale) | {"command_id": NOWHERE},
        completed(good),
        completed(stale) | {"status": "running"},
        completed(stale) | {"unheard_of": 1},
    ]
    assert counted(await wire.ask("settle", results=results)) == (
        1,
        [],
        [(0, "stale_lease"), (1, "unknown_command"), (3, "bad_type"), (4, "bad_type")],
    )


async def test_a_settle_with_a_claim_answers_with_the_next_commands(wire: Wire) -> None:
    first = await wire.issue_and_claim()
    others = {await wire.implementation.issue() for _ in range(3)}
    claim = {"pool": "default", "limit": 2}
    answer = await wire.ask("settle", results=[completed(first)], claim=claim)
    assert counted(answer) == (1, [], [])
    assert [command.keys() for command in answer["commands"]] == [FIELDS, FIELDS]
    assert {command["execution_id"] for command in answer["commands"]} < others


async def test_a_heartbeat_tells_extended_cancelled_and_lost_apart(wire: Wire) -> None:
    held, cancelled, settled, released = [await wire.issue_and_claim() for _ in range(4)]
    await wire.implementation.cancel(cancelled["execution_id"])
    await wire.ask("settle", results=[completed(settled)])
    await wire.ask("release", commands=[lease(released)])
    leases = [lease(command) for command in (held, cancelled, settled, released)]
    leases.append({"command_id": NOWHERE, "lease_token": "5"})
    identity = {"pool": "default", "slots": 4, "version": "1.2"}
    answer = await wire.ask("heartbeat", **identity, commands=leases)
    assert {name: sorted(ids) for name, ids in answer.items()} == {
        "extended": [held["command_id"]],
        "cancelled": sorted([cancelled["command_id"], settled["command_id"]]),
        "lost": sorted([released["command_id"], NOWHERE]),
    }


async def test_a_released_command_is_claimable_again_under_another_lease(wire: Wire) -> None:
    command = await wire.issue_and_claim()
    for released in (1, 0):
        assert await wire.ask("release", commands=[lease(command)]) == {"released": released}
    (again,) = await wire.claim()
    assert again["command_id"] == command["command_id"]
    assert again["lease_token"] != command["lease_token"]
    answer = await wire.ask("settle", results=[completed(command), completed(again)])
    assert counted(answer) == (1, [], [(0, "stale_lease")])


async def test_a_command_of_a_cancelled_execution_is_never_handed_out(wire: Wire) -> None:
    await wire.implementation.cancel(await wire.implementation.issue())
    assert await wire.claim() == []


async def test_a_wrong_token_is_forbidden(wire: Wire) -> None:
    for route in ("/commands/claim", "/commands/heartbeat", "/logs"):
        answer = await wire.post(route, {}, token="wrong")
        assert (answer.status, answer.code) == (403, "forbidden")


async def test_a_request_that_its_route_does_not_know_is_invalid(wire: Wire) -> None:
    known = {"worker_id": "w1", "pool": "default"}
    for route, body in (
        ("/commands/claim", known | {"wait_seconds": 31}),
        ("/commands/claim", {"worker_id": "w1"}),
        ("/commands/settle", {"worker_id": "w1", "results": [], "unheard_of": 1}),
        ("/commands/release", known | {"commands": []}),
        ("/commands/heartbeat", known),
    ):
        answer = await wire.post(route, body)
        assert (answer.status, answer.code) == (422, "invalid"), body


async def test_a_line_is_stored_once(wire: Wire) -> None:
    line = {"command_id": "7", "seq": 1, "execution_id": "5", "step": "a", "attempt": 1}
    line |= {"at": "2026-01-02T03:04:05.000000Z", "stream": "stdout", "line": "hello"}
    assert (await wire.post("/logs", {"lines": [line]})).body == {"stored": 1}
    assert (await wire.post("/logs", {"lines": [line, line | {"seq": 2}]})).body == {"stored": 1}


async def test_a_payload_is_stored_once_and_given_back_as_it_was(wire: Wire) -> None:
    execution_id, name = await wire.implementation.issue(), sha256(BODY).hexdigest()
    answers = [await wire.payload("PUT", execution_id, name, BODY) for _ in range(2)]
    assert [(status, orjson.loads(body)) for status, body in answers] == [
        (200, {"stored": True}),
        (200, {"stored": False}),
    ]
    assert await wire.payload("GET", execution_id, name) == (200, BODY)
    assert [
        (await wire.payload("PUT", execution_id, sha256(b"else").hexdigest(), BODY))[0],
        (await wire.payload("PUT", NOWHERE, name, BODY))[0],
        (await wire.payload("GET", NOWHERE, name))[0],
    ] == [422, 404, 404]


async def test_a_result_refers_to_a_payload_that_is_stored_or_is_rejected(wire: Wire) -> None:
    command, name = await wire.issue_and_claim(), sha256(BODY).hexdigest()
    uri = f"payload:{command['execution_id']}/{name}"
    result = completed(command) | {"result_kind": "ref", "result_uri": uri}
    del result["output"]
    assert counted(await wire.ask("settle", results=[result])) == (0, [], [(0, "unknown_payload")])
    await wire.payload("PUT", command["execution_id"], name, BODY)
    assert counted(await wire.ask("settle", results=[result])) == (1, [], [])
    assert counted(await wire.ask("settle", results=[result])) == (1, [], [])
