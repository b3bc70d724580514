"""Workers claim, settle, extend and hand back over HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.support.eventually import eventually
from tests.support.internal_api import Client, result, serving

if TYPE_CHECKING:
    pass

TWO = """
playbook: t/two
steps:
  - {name: a, tool: noop}
  - {name: b, tool: noop}
"""
RETRY = "{playbook: t/r, steps: [{name: a, tool: noop, retry: {max_attempts: 2, delay: 300ms, jitter: 0}}]}"
POOL_SIZE = 5
LOCK_WAITS = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""
CANCELLED = "update playlog.command set state = 'closed', closed_at = clock_timestamp()"


async def test_a_playbook_is_worked_through_with_a_claim_in_each_settle(client: Client) -> None:
    await client.engine.register(TWO)
    execution_id = await client.start("t/two")
    (first,) = await client.claim()
    assert first["execution_id"] == str(execution_id)
    assert (first["step"], first["attempt"], first["item"], first["tool"]) == ("a", 1, None, "noop")
    assert first["timeout_seconds"] > 0
    answer = await client.settle(result(first, {"n": 1}), claim={"pool": "default", "limit": 5})
    assert answer.body["settled"] == 1
    assert (answer.body["late"], answer.body["rejected"]) == ([], [])
    (second,) = answer.body["commands"]
    assert second["step"] == "b"
    answer = await client.settle(result(second))
    assert answer.body["versions"] == {str(execution_id): 8}
    assert (await client.engine.types(execution_id))[-1] == "execution.completed"


async def test_a_waiting_claim_returns_at_once_when_a_command_is_issued(client: Client) -> None:
    await client.engine.register(TWO)
    waiting = asyncio.create_task(client.claim(wait_seconds=20))
    await until_waiting(client)
    started = time.monotonic()
    await client.start("t/two")
    (command,) = await waiting
    assert command["step"] == "a"
    assert time.monotonic() - started < 1


async def test_a_waiting_claim_returns_when_a_retry_becomes_due(client: Client) -> None:
    await client.engine.register(RETRY)
    await client.start("t/r")
    (command,) = await client.claim()
    started = time.monotonic()
    failed = result(command, status="failed", error={"code": "busy", "message": "busy"})
    del failed["output"]
    assert (await client.settle(failed)).body["settled"] == 1
    (again,) = await client.claim(wait_seconds=20)
    assert again["attempt"] == 2
    assert 0.2 < time.monotonic() - started < 1.5


async def test_only_as_many_waiters_are_rung_as_there_are_commands(client: Client) -> None:
    await client.engine.register(TWO)
    waiting = [asyncio.create_task(client.claim(wait_seconds=1)) for _ in range(5)]
    await until_waiting(client, 5)
    await client.start("t/two")
    claimed = [commands for commands in await asyncio.gather(*waiting) if commands]
    assert [len(commands) for commands in claimed] == [1]


async def test_waiters_share_what_is_there_without_waiting_for_each_other(client: Client) -> None:
    await client.engine.register(TWO)
    waiting = [asyncio.create_task(client.claim(wait_seconds=20)) for _ in range(5)]
    await until_waiting(client, 5)
    await asyncio.gather(*(client.start("t/two") for _ in range(5)))
    claimed = await asyncio.gather(*waiting)
    assert sum(len(commands) for commands in claimed) == 5


async def test_a_waiter_for_some_tools_is_not_passed_over(client: Client) -> None:
    await client.engine.register(TWO)
    other = asyncio.create_task(client.claim(wait_seconds=1, tools=["http"]))
    mine = asyncio.create_task(client.claim(wait_seconds=20, tools=["noop"]))
    await until_waiting(client, 2)
    await client.start("t/two")
    assert len(await mine) == 1
    assert await other == []


async def test_a_command_issued_by_another_process_wakes_a_waiter(database_url: str, nats_url: str) -> None:
    async with (
        serving(database_url, nats_url=nats_url) as one,
        serving(database_url, nats_url=nats_url) as two,
    ):
        await one.engine.register(TWO)
        waiting = asyncio.create_task(one.claim(wait_seconds=20))
        await until_waiting(one)
        started = time.monotonic()
        await two.start("t/two")
        assert len(await waiting) == 1
        assert time.monotonic() - started < 1


async def test_a_claim_whose_caller_has_gone_takes_nothing(client: Client) -> None:
    await client.engine.register(TWO)
    gone = asyncio.create_task(client.claim(wait_seconds=20))
    await until_waiting(client)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    stays = asyncio.create_task(client.claim(wait_seconds=20))
    await until_waiting(client, 2)
    await client.start("t/two")
    assert len(await stays) == 1


async def test_results_are_judged_one_by_one(client: Client) -> None:
    await client.engine.register(TWO)
    for _ in range(3):
        await client.start("t/two")
    good, stale, deep = await client.claim(limit=3)
    nested: object = 1
    for _ in range(70):
        nested = [nested]
    answer = await client.settle(
        result(good),
        result(stale) | {"lease_token": "17"},
        result(deep, nested),
        result(deep, "a\0b"),
        result(deep, "x" * 300_000),
        result(deep) | {"command_id": "99"},
        result(deep) | {"command_id": None},
        result(deep) | {"status": "running"},
        "nothing",
    )
    assert answer.body["settled"] == 1
    assert [(row["index"], row["code"]) for row in answer.body["rejected"]] == [
        (1, "stale_lease"),
        (2, "too_deep"),
        (3, "bad_text"),
        (4, "too_large"),
        (5, "unknown_command"),
        (6, "bad_id"),
        (7, "bad_type"),
        (8, "bad_type"),
    ]


async def test_a_settled_result_sent_again_is_settled_and_another_one_is_late(client: Client) -> None:
    await client.engine.register(TWO)
    execution_id = await client.start("t/two")
    (command,) = await client.claim()
    for _ in range(2):
        answer = await client.settle(result(command, 1))
        assert (answer.body["settled"], answer.body["late"]) == (1, [])
    answer = await client.settle(result(command, 2))
    assert (answer.body["settled"], answer.body["late"]) == (0, [0])
    assert (await client.engine.types(execution_id)).count("command.completed") == 1
    assert (await client.engine.types(execution_id))[-1] == "command.late"


async def test_a_heartbeat_extends_and_makes_the_worker_known(client: Client) -> None:
    await client.engine.register(TWO)
    await client.start("t/two")
    await client.start("t/two")
    held, closed = await client.claim(limit=2)
    closing = f"{CANCELLED} where command_id = {closed['command_id']}"
    await client.engine.connection.execute(closing)
    leases = [{name: each[name] for name in ("command_id", "lease_token")} for each in (held, closed)]
    beat = {"worker_id": "w1", "pool": "default", "slots": 20, "version": "1.2"}
    answer = await client.post(
        "/commands/heartbeat", {**beat, "commands": [*leases, leases[0] | {"lease_token": "5"}]}
    )
    assert answer.body == {
        "extended": [held["command_id"]],
        "cancelled": [closed["command_id"]],
        "lost": [held["command_id"]],
    }
    workers = (await client.get("/workers")).body
    assert [(row["runtime_id"], row["slots"]) for row in workers["workers"]] == [("w1", 20)]


async def test_heartbeats_hold_no_connection_while_the_log_takes_their_claims(client: Client) -> None:
    await client.engine.register(TWO)
    started = [await client.start("t/two") for _ in range(POOL_SIZE)]
    leases = [
        {name: command[name] for name in ("command_id", "lease_token")}
        for command in await client.claim(limit=POOL_SIZE)
    ]
    connection = client.engine.connection
    await connection.execute("update playlog.command set claimed_at = claimed_at - interval '1 min'")

    async def beats_are_held_up() -> None:
        assert await connection.fetchval(LOCK_WAITS) > 0

    async with connection.transaction():
        await connection.execute("select 1 from playlog.execution for update")
        beats = [
            asyncio.create_task(client.post("/commands/heartbeat", {"worker_id": "w1", "commands": [lease]}))
            for lease in leases
        ]
        await eventually(beats_are_held_up)
        assert (await client.get("/commands/pending-count")).status == 200
    assert [(await beat).body["extended"] for beat in beats] == [[lease["command_id"]] for lease in leases]
    for execution_id in started:
        assert (await client.engine.types(execution_id)).count("command.claimed") == 1


async def test_a_released_command_goes_to_a_waiter_at_once(client: Client) -> None:
    await client.engine.register(TWO)
    await client.start("t/two")
    (command,) = await client.claim()
    waiting = asyncio.create_task(client.claim(wait_seconds=20))
    await until_waiting(client)
    lease = {name: command[name] for name in ("command_id", "lease_token")}
    started = time.monotonic()
    answer = await client.post("/commands/release", {"worker_id": "w1", "commands": [lease]})
    assert answer.body == {"released": 1}
    assert (await waiting)[0]["command_id"] == command["command_id"]
    assert time.monotonic() - started < 1


async def test_the_count_of_a_pool_includes_what_runs(client: Client) -> None:
    await client.engine.register(TWO)
    await client.start("t/two")
    await client.start("t/two")
    await client.claim()
    answer = await client.get("/commands/pending-count?pool=default")
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.body["pending"], answer.body["in_flight"], answer.body["backlog"]) == (1, 1, 2)
    assert answer.body["oldest_age_seconds"] >= 0
    assert answer.body["pools"]["default"]["backlog"] == 2
    assert (await client.get("/commands/pending-count?pool=none")).body["backlog"] == 0


async def test_lines_of_tools_are_stored_once(client: Client) -> None:
    line = {"command_id": "7", "seq": 1, "execution_id": "5", "step": "a", "attempt": 1}
    line |= {"at": "2026-01-02T03:04:05.000000Z", "stream": "stdout", "line": "hello"}
    for stored in (2, 0):
        answer = await client.post("/logs", {"lines": [line, line | {"seq": 2}]})
        assert answer.body == {"stored": stored}
    answer = await client.post("/logs", {"lines": [line | {"seq": 3}, line | {"line": "a\0"}]})
    assert answer.status == 422
    assert answer.body["errors"][0]["loc"] == ["lines", 1]


async def until_waiting(client: Client, count: int = 1) -> None:
    """The claims are known to the bell, and their first look is over."""

    def check() -> None:
        queue = client.api.bell._queues.get("default")
        assert queue is not None
        assert len(queue.waiters) == count

    await eventually(check)
