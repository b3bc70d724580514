"""Commands: claimed once, leased, extended, handed back, expired; the log learns of long attempts only."""

from __future__ import annotations

import asyncio

import asyncpg

from engine.errors import Unavailable
from engine.runtime.database import checkout
from engine.write import commands
from engine.write.commands import Beat, Lease
from engine.write.executions import cancel
from engine.write.writer import appending
from tests.support.engine import Engine, result_of
from tests.support.eventually import eventually

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
BACKDATE = "update playlog.command set claimed_at = claimed_at - interval '20 s'"
EXTENDED = "update playlog.command set leased_until = leased_until + interval '9 s' where command_id = $1"
WAITING = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""
RUN_OUT = "update playlog.command set leased_until = clock_timestamp() - interval '1 s'"


async def started(engine: Engine, count: int = 1) -> list[int]:
    await engine.register(ONE)
    return [await engine.start("t/one") for _ in range(count)]


async def beat(engine: Engine, *leases: Lease) -> Beat:
    found = await commands.extend(engine.connection, leases, 60)
    await commands.announce(engine.checkout, engine.appender, found.claims)
    return found


async def test_no_command_is_claimed_twice_by_concurrent_workers(engine: Engine, pool: asyncpg.Pool) -> None:
    await started(engine, 40)

    async def worker(name: str) -> list[int]:
        mine = []
        async with checkout(pool) as connection:
            while claimed := await commands.claim(
                connection, worker_id=name, pool="default", limit=3, lease_seconds=60
            ):
                mine += [command.command_id for command in claimed]
        return mine

    shares = await asyncio.gather(*(worker(f"w{number}") for number in range(4)))
    everything = [command_id for share in shares for command_id in share]
    assert len(everything) == len(set(everything)) == 40


async def test_a_heartbeat_extends_the_lease_and_a_long_attempt_records_its_claim_once(
    engine: Engine,
) -> None:
    (execution_id,) = await started(engine)
    (command,) = await engine.claim()
    lease = Lease(command.command_id, command.lease_token)
    assert (await beat(engine, lease)).extended == [lease]
    assert "command.claimed" not in await engine.types(execution_id)
    await engine.connection.execute(BACKDATE)
    for _ in range(2):
        await beat(engine, lease)
    assert (await engine.types(execution_id)).count("command.claimed") == 1
    assert (await engine.state(execution_id)).steps["a"].status == "running"


async def test_a_claim_that_could_not_be_recorded_is_recorded_by_the_next_beat(engine: Engine) -> None:
    (execution_id,) = await started(engine)
    (command,) = await engine.claim()
    lease = Lease(command.command_id, command.lease_token)
    await engine.connection.execute(BACKDATE)

    async def refuse() -> asyncpg.Connection:
        raise Unavailable

    async with appending(refuse, engine.committed.append) as broken:
        without_log = Engine(engine.connection, broken, [])
        assert (await beat(without_log, lease)).extended == [lease]
    assert "command.claimed" not in await engine.types(execution_id)
    assert (await beat(engine, lease)).claims.keys() == {lease}
    assert (await engine.types(execution_id)).count("command.claimed") == 1
    assert (await beat(engine, lease)).claims == {}


async def test_the_log_learns_who_has_a_command_that_was_handed_back_and_claimed_again(
    engine: Engine,
) -> None:
    (execution_id,) = await started(engine)
    for times in (1, 2):
        (command,) = await engine.claim()
        lease = Lease(command.command_id, command.lease_token)
        await engine.connection.execute(BACKDATE)
        await beat(engine, lease)
        assert (await engine.types(execution_id)).count("command.claimed") == times
        await commands.release(engine.connection, [lease])


async def test_a_heartbeat_says_what_was_cancelled_and_what_is_lost(engine: Engine) -> None:
    first, _ = await started(engine, 2)
    one, two = await engine.claim()
    cancelled, other = (one, two) if one.execution_id == first else (two, one)
    await cancel(engine.appender, first)
    closed, stolen = Lease(cancelled.command_id, cancelled.lease_token), Lease(other.command_id, 1)
    found = await beat(engine, closed, stolen)
    assert (found.extended, found.cancelled, found.lost) == ([], [closed], [stolen])


async def test_two_leases_of_one_command_in_one_beat_are_told_apart(engine: Engine) -> None:
    await started(engine)
    (command,) = await engine.claim()
    old = Lease(command.command_id, command.lease_token)
    await commands.release(engine.connection, [old])
    (again,) = await engine.claim()
    new = Lease(again.command_id, again.lease_token)
    found = await beat(engine, old, new)
    assert (found.extended, found.cancelled, found.lost) == ([new], [], [old])


async def test_a_released_command_is_claimable_again_and_its_old_lease_is_void(engine: Engine) -> None:
    await started(engine)
    (command,) = await engine.claim()
    lease = Lease(command.command_id, command.lease_token)
    assert await commands.release(engine.connection, [lease]) == {"default": 1}
    (again,) = await engine.claim()
    assert again.command_id == command.command_id
    assert (await engine.complete(command)).verdicts[0].code == "stale_lease"
    assert (await engine.complete(again)).verdicts[0].code == ""


async def test_a_release_locks_in_the_order_in_which_a_heartbeat_does(
    engine: Engine, connection: asyncpg.Connection, pool: asyncpg.Pool
) -> None:
    await started(engine, 2)
    low, high = sorted(await engine.claim(), key=lambda command: command.command_id)
    await connection.execute(EXTENDED, low.command_id)
    leases = [Lease(each.command_id, each.lease_token) for each in (high, low)]
    lock = "select 1 from playlog.command where command_id = $1 for update nowait"

    async def waits() -> None:
        assert await engine.value(WAITING) == 1

    async with checkout(pool) as other:
        async with connection.transaction():
            await connection.execute(lock, low.command_id)
            releasing = asyncio.create_task(commands.release(other, leases))
            await eventually(waits)
            await connection.execute(lock, high.command_id)
        assert await releasing == {"default": 2}


async def test_an_expired_lease_gives_the_attempt_to_another_and_the_late_result_changes_nothing(
    engine: Engine,
) -> None:
    (execution_id,) = await started(engine)
    (command,) = await engine.claim()
    assert await commands.expired(engine.connection, 10) == []
    await engine.connection.execute(RUN_OUT)
    requests = await commands.expired(engine.connection, 10)
    await engine.appender.submit_all(requests)
    assert (await engine.types(execution_id))[-2:] == ["command.expired", "command.issued"]
    assert await commands.expired(engine.connection, 10) == []
    assert (await engine.complete(command)).verdicts[0].verdict == "late"
    (second,) = await engine.claim()
    assert second.attempt == 2
    await engine.complete(second)
    assert (await engine.state(execution_id)).status == "completed"


async def test_a_lease_that_was_extended_meanwhile_is_not_expired(engine: Engine) -> None:
    (execution_id,) = await started(engine)
    (command,) = await engine.claim()
    await engine.connection.execute(RUN_OUT)
    requests = await commands.expired(engine.connection, 10)
    lease = Lease(command.command_id, command.lease_token)
    await beat(engine, lease)
    await engine.appender.submit_all(requests)
    assert await engine.types(execution_id) == ["execution.started", "command.issued"]


async def test_commands_of_a_cancelled_execution_are_not_handed_out(engine: Engine) -> None:
    (execution_id,) = await started(engine)
    await cancel(engine.appender, execution_id, "enough")
    assert await engine.claim() == []


async def test_a_retry_is_not_claimable_before_its_delay(engine: Engine) -> None:
    await engine.register(
        "{playbook: t/r, steps: [{name: a, tool: noop, retry: {max_attempts: 2, delay: 1h}}]}"
    )
    await engine.start("t/r")
    (command,) = await engine.claim()
    await engine.settle(result_of(command, error={"code": "busy", "message": "busy"}))
    assert await engine.claim() == []
    counts = await commands.pending_counts(engine.connection)
    assert counts["default"]["pending"] == 0
