"""Rule 17: never more commands with one key at a time than its limit, and no permit is ever lost."""

from __future__ import annotations

import asyncpg
import pytest

from engine.write import commands
from engine.write.commands import Lease
from engine.write.deliveries import carry_out
from engine.write.executions import cancel, pause, resume
from engine.write.writer import appending
from tests.support.engine import Engine, result_of
from tests.support.locks import Record, recording

LIMITED = """
playbook: t/limited
inputs: {key: {type: string, default: k}}
steps:
  - {name: a, tool: noop, concurrency: {key: inputs.key, limit: %d%s}%s}
"""
STATES = """
select execution_id, state from playlog.command
where concurrency_key = $1 and state <> 'closed' order by state = 'held', available_at, command_id
"""
LOSE = "update playlog.command set leased_until = clock_timestamp() - interval '1 s' where state = 'claimed'"


async def register(engine: Engine, limit: int = 1, strategy: str = "queue", more: str = "") -> None:
    await engine.register(LIMITED % (limit, f", strategy: {strategy}", more))


async def states(engine: Engine, key: str = "t/limited:k") -> list[tuple[int, str]]:
    return [(row[0], row[1]) for row in await engine.connection.fetch(STATES, key)]


async def deliver(engine: Engine) -> None:
    told = [delivery for each in engine.committed for delivery in each.deliveries]
    engine.committed.clear()
    carried = await carry_out(engine.connection, engine.appender, engine.definitions, told)
    assert carried.failed == 0
    assert await engine.value("select count(*) from playlog.delivery") == 0


async def test_what_finds_no_permit_waits_and_is_handed_out_in_its_turn(engine: Engine) -> None:
    await register(engine, limit=2)
    ids = [await engine.start("t/limited") for _ in range(4)]
    assert await states(engine) == [*zip(ids, ["pending", "pending", "held", "held"], strict=True)]
    for number in range(4):
        command = (await engine.claim(1))[0]
        assert command.execution_id == ids[number]
        await engine.complete(command)
    assert await states(engine) == []
    for execution_id in ids:
        assert (await engine.types(execution_id))[-1] == "execution.completed"


async def test_the_pool_is_told_when_a_command_need_wait_no_longer_and_not_before(engine: Engine) -> None:
    await register(engine)
    await engine.start("t/limited")
    (command,) = await engine.claim()
    engine.committed.clear()
    await engine.start("t/limited")
    assert engine.committed[-1].pools == {}
    await engine.complete(command)
    assert engine.committed[-1].pools == {"default": 1}


async def test_what_waits_for_a_permit_is_no_backlog_and_ages_from_when_it_may_be_claimed(
    engine: Engine,
) -> None:
    await register(engine)
    await engine.start("t/limited")
    (command,) = await engine.claim()
    await engine.start("t/limited")
    await engine.connection.execute(
        "update playlog.command set available_at = available_at - interval '1 h' where state = 'held'"
    )
    assert (await commands.pending_counts(engine.connection))["default"]["backlog"] == 1
    await engine.complete(command)
    counts = (await commands.pending_counts(engine.connection))["default"]
    assert counts["pending"] == 1
    assert counts["oldest_age_seconds"] < 60  # type: ignore[operator]


async def test_keys_are_apart_and_those_of_other_playbooks_too_unless_they_are_global(engine: Engine) -> None:
    await register(engine)
    for name in ("x", "y"):
        await engine.register((LIMITED % (1, ", scope: global", "")).replace("t/limited", f"t/{name}"))
    await engine.start("t/limited")
    await engine.start("t/limited", inputs={"key": "other"})
    for name in ("x", "y"):
        await engine.start(f"t/{name}")
    assert [state for _, state in await states(engine)] == ["pending"]
    assert [state for _, state in await states(engine, "t/limited:other")] == ["pending"]
    assert [state for _, state in await states(engine, ":k")] == ["pending", "held"]


async def test_a_higher_priority_comes_first_in_line_and_in_the_pool(engine: Engine) -> None:
    await register(engine)
    ids = [await engine.start("t/limited", priority=priority) for priority in (0, 0, 5, -5, 5)]
    order = []
    while claimed := await engine.claim():
        assert len(claimed) == 1
        order.append(ids.index(claimed[0].execution_id))
        await engine.complete(claimed[0])
    assert order == [0, 2, 4, 1, 3]
    await engine.register("{playbook: t/own, priority: 1, steps: [{name: a, tool: noop, priority: 100}]}")
    await engine.register("{playbook: t/book, priority: 50, steps: [{name: a, tool: noop}]}")
    started = [("t/book", {}), ("t/book", {"priority": 99}), ("t/own", {"priority": -100}), ("t/book", {})]
    ids = [await engine.start(path, **order) for path, order in started]
    assert [ids.index(command.execution_id) for command in await engine.claim()] == [2, 1, 0, 3]


async def test_a_released_command_keeps_its_permit_and_a_lost_one_gives_it_on(engine: Engine) -> None:
    await register(engine)
    first, second = [await engine.start("t/limited") for _ in range(2)]
    (command,) = await engine.claim()
    await commands.release(engine.connection, [Lease(command.command_id, command.lease_token)])
    assert await states(engine) == [(first, "pending"), (second, "held")]
    await engine.claim()
    await engine.connection.execute(LOSE)
    for request in await commands.expired(engine.connection, 10):
        await engine.appender.submit(request)
    assert await states(engine) == [(second, "pending"), (first, "held")]


async def test_a_retry_holds_no_permit_while_it_waits_out_its_delay(engine: Engine) -> None:
    await register(engine, more=", retry: {max_attempts: 2, delay: 1h}")
    _, second = [await engine.start("t/limited") for _ in range(2)]
    (command,) = await engine.claim()
    await engine.settle(result_of(command, error={"code": "busy", "message": "busy"}))
    assert await states(engine) == [(second, "pending")]


async def test_a_paused_execution_is_passed_over_in_line_until_it_is_resumed(engine: Engine) -> None:
    await register(engine)
    first, second, third = [await engine.start("t/limited") for _ in range(3)]
    await pause(engine.appender, second)
    await engine.work()
    assert await states(engine) == [(second, "held")]
    assert (await engine.types(third))[-1] == "execution.completed"
    engine.committed.clear()
    await resume(engine.appender, second)
    assert await states(engine) == [(second, "pending")]
    assert engine.committed[-1].pools == {"default": 1}
    await engine.work()
    assert (await engine.types(first))[-1] == "execution.completed"


async def test_a_resumed_execution_waits_where_it_stood_while_there_is_no_permit(engine: Engine) -> None:
    await register(engine)
    ids = [await engine.start("t/limited") for _ in range(3)]
    await pause(engine.appender, ids[1])
    await resume(engine.appender, ids[1])
    assert await states(engine) == [*zip(ids, ["pending", "held", "held"], strict=True)]
    (command,) = await engine.claim()
    await engine.complete(command)
    assert await states(engine) == [*zip(ids[1:], ["pending", "held"], strict=True)]


async def test_a_paused_execution_keeps_the_permit_it_has_also_when_its_worker_gives_it_back(
    engine: Engine,
) -> None:
    await register(engine)
    first, second = [await engine.start("t/limited") for _ in range(2)]
    (command,) = await engine.claim()
    await pause(engine.appender, first)
    await commands.release(engine.connection, [Lease(command.command_id, command.lease_token)])
    assert await states(engine) == [(first, "held"), (second, "held")]
    third = await engine.start("t/limited")
    await resume(engine.appender, first)
    assert await states(engine) == [(first, "pending"), (second, "held"), (third, "held")]
    await pause(engine.appender, first)
    await cancel(engine.appender, first)
    assert await states(engine) == [(second, "pending"), (third, "held")]


async def test_what_is_issued_while_its_execution_is_paused_waits_and_is_not_refused(engine: Engine) -> None:
    await register(engine, strategy="cancel_newest", more=", retry: {max_attempts: 2, on_lost: retry}")
    first = await engine.start("t/limited")
    await engine.claim()
    await pause(engine.appender, first)
    await engine.connection.execute(LOSE)
    for request in await commands.expired(engine.connection, 10):
        await engine.appender.submit(request)
    second = await engine.start("t/limited")
    assert await states(engine) == [(second, "pending"), (first, "held")]
    await engine.work()
    await resume(engine.appender, first)
    await engine.work()
    assert (await engine.types(first))[-1] == "execution.completed"


@pytest.mark.parametrize("cancelled", [0, 1], ids=["one that holds a permit", "one that waits"])
async def test_the_end_of_an_execution_frees_what_it_held(engine: Engine, cancelled: int) -> None:
    await register(engine)
    ids = [await engine.start("t/limited") for _ in range(3)]
    await cancel(engine.appender, ids[cancelled])
    left = [execution_id for execution_id in ids if execution_id != ids[cancelled]]
    assert await states(engine) == [(left[0], "pending"), (left[1], "held")]


async def test_items_of_a_map_take_permits_one_by_one(engine: Engine) -> None:
    await register(engine, limit=2, more=", map: {items: [1, 2, 3, 4, 5]}")
    execution_id = await engine.start("t/limited")
    sizes = []
    while claimed := await engine.claim(10):
        sizes.append(len(claimed))
        await engine.settle(*(result_of(command) for command in claimed))
    assert sizes == [2, 2, 1]
    assert (await engine.types(execution_id))[-1] == "execution.completed"


async def test_cancel_newest_refuses_what_finds_no_permit(engine: Engine) -> None:
    await register(engine, strategy="cancel_newest")
    first, second = [await engine.start("t/limited") for _ in range(2)]
    assert await states(engine) == [(first, "pending")]
    await deliver(engine)
    assert await engine.types(second) == [
        *("execution.started", "command.issued", "concurrency.rejected", "step.failed", "execution.failed")
    ]
    log = await engine.log(second)
    assert log[-1].payload["error"]["code"] == "concurrency_rejected"  # type: ignore[index]
    await engine.work()
    third = await engine.start("t/limited")
    assert await states(engine) == [(third, "pending")]


async def test_cancel_running_takes_the_oldest_permit_and_its_worker_hears_of_it(engine: Engine) -> None:
    await register(engine, limit=2, strategy="cancel_running")
    first, second = [await engine.start("t/limited") for _ in range(2)]
    held = {command.execution_id: command for command in await engine.claim()}
    third = await engine.start("t/limited")
    assert await states(engine) == [(second, "claimed"), (third, "pending")]
    leases = {each: Lease(command.command_id, command.lease_token) for each, command in held.items()}
    beat = await commands.extend(engine.connection, list(leases.values()), 60)
    assert beat.cancelled == [leases[first]]
    assert beat.extended == [leases[second]]
    await deliver(engine)
    assert (await engine.types(first))[-3:] == ["command.cancelled", "step.failed", "execution.failed"]
    settled = await engine.complete(held[first])
    assert settled.verdicts[0].verdict == "late"
    assert (await engine.types(first))[-1] == "command.late"
    await engine.complete(held[second])
    await engine.work()
    assert (await engine.types(third))[-1] == "execution.completed"


async def test_a_result_that_comes_before_the_withdrawal_is_the_outcome(engine: Engine) -> None:
    await register(engine, strategy="cancel_running")
    first = await engine.start("t/limited")
    (command,) = await engine.claim()
    await engine.start("t/limited")
    await engine.complete(command)
    await deliver(engine)
    assert "command.cancelled" not in await engine.types(first)
    assert (await engine.types(first))[-1] == "execution.completed"


async def test_a_map_that_cancels_itself_ends_with_its_last_item(engine: Engine) -> None:
    await register(
        engine, strategy="cancel_running", more=", map: {items: [1, 2, 3], on_item_error: continue}"
    )
    execution_id = await engine.start("t/limited")
    (command,) = await engine.claim()
    assert command.item == 2
    await deliver(engine)
    await engine.complete(command)
    types = await engine.types(execution_id)
    assert types.count("command.cancelled") == 2
    assert types[-1] == "execution.completed"


async def test_a_playbook_without_keys_costs_no_statement_more(database_url: str, engine: Engine) -> None:
    await engine.register("{playbook: t/plain, steps: [{name: a, tool: noop}]}")
    await register(engine)
    record = Record()
    kind = recording(record)
    async with appending(
        lambda: asyncpg.connect(database_url, connection_class=kind, timeout=10, command_timeout=30),
        engine.committed.append,
        1,
    ) as appender:
        recorded = Engine(engine.connection, appender, engine.committed)
        for path, expected in (("t/plain", set()), ("t/limited", {"permits.lock", "permits.lines"})):
            await recorded.start(path)
            await recorded.work()
            assert {name for name in record.seen if name.startswith("permits")} == expected


async def test_the_end_of_an_execution_that_cannot_be_decided_any_more_frees_its_permits(
    engine: Engine,
) -> None:
    await register(engine)
    holder, waiting = [await engine.start("t/limited") for _ in range(2)]
    await engine.connection.execute("alter table playlog.definition disable trigger definition_append_only")
    await engine.connection.execute("update playlog.definition set canonical = '{\"steps\": 1}'")
    for writer in engine.appender._writers:
        writer.context = type(writer.context)()
    await cancel(engine.appender, holder)
    assert await states(engine) == [(waiting, "pending")]
