"""Two transactions that name the same rows in opposite order wait for each other and never in a circle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from engine.domain.admit import Origin
from engine.domain.events import NewEvent
from engine.domain.vocabulary import EventType
from engine.runtime.database import checkout
from engine.write import commands, deliveries, outbox, publishing, shards
from engine.write.append import Context, append
from engine.write.commands import Lease
from engine.write.executions import StartOrder, cancel_event, engine_event, start_request
from engine.write.materialize import Intake
from engine.write.parking import Failure, park
from engine.write.requests import Request
from tests.support.engine import Engine, running_engine
from tests.support.eventually import eventually
from tests.support.servers import Connection, Pool

WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)
PAIR = "{playbook: t/pair, steps: [{name: a, tool: noop, needs: []}, {name: b, tool: noop, needs: []}]}"
ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
CHILD = "{playbook: t/child, steps: [{name: work, tool: noop}]}"
PARENT = "{playbook: t/parent, steps: [{name: child, tool: playbook, with: {playbook: t/child}}]}"
BACKWARDS = {
    "command": "update playlog.command set priority = priority where command_id = $1",
    "outbox": "update playlog.outbox set attempts = attempts where outbox_id = $1",
}
"""A row that is changed lies behind the others: a scan of the table meets it last."""

Act = Callable[[Connection], Awaitable[object]]


@dataclass
class Meeting:
    """Two transactions, and the rows that a third one holds until both of them wait."""

    hold: Act
    first: Act
    second: Act
    undo: bool = False


async def meet(pool: Pool, meeting: Meeting) -> Sequence[Any]:
    """Let both wait, the first one first, then let them go; a deadlock is raised."""

    async def wait_for(count: int) -> None:
        async def check() -> None:
            assert await pool.fetchval(WAITING) == count

        await eventually(check)

    async def run(act: Act) -> object:
        async with checkout(pool) as connection:
            return await act(connection)

    async with checkout(pool) as holder:
        transaction = holder.transaction()
        await transaction.start()
        await meeting.hold(holder)
        first = asyncio.create_task(run(meeting.first))
        await wait_for(1)
        second = asyncio.create_task(run(meeting.second))
        await wait_for(2)
        await (transaction.rollback() if meeting.undo else transaction.commit())
        return await asyncio.gather(first, second)


def locking(table: str, key: int) -> Act:
    name = "execution_id" if table == "execution" else f"{table}_id"
    return lambda connection: connection.execute(
        f"select from playlog.{table} where {name} = $1 for update", key
    )


def appending(*requests: Request) -> Act:
    return lambda connection: append(connection, requests, Context())


def note(execution_id: int, event_id: int) -> Request:
    event = NewEvent(event_type="order.noted", status="RUNNING", event_id=event_id)
    return Request(execution_id=execution_id, events=(event,))


def cancelling(execution_id: int) -> Act:
    event = engine_event(EventType.EXECUTION_CANCELLED, {"reason": None})
    return appending(Request(execution_id=execution_id, events=(event,), origin=Origin.ENGINE))


async def two_commands(engine: Engine) -> tuple[int, list[Lease]]:
    """An execution with two claimed commands, the lower one behind the higher in the table."""
    await engine.register(PAIR)
    execution_id = await engine.start("t/pair")
    leases = sorted(
        (Lease(each.command_id, each.lease_token) for each in await engine.claim()),
        key=lambda lease: lease.command_id,
    )
    await engine.connection.execute(BACKWARDS["command"], leases[0].command_id)
    await engine.connection.execute("analyze playlog.command")
    return execution_id, leases


@pytest.mark.parametrize("beat_first", [False, True])
@pytest.mark.parametrize("what", ["extend", "announced", "release"])
async def test_an_append_that_closes_commands_meets_a_worker_that_names_them_backwards(
    engine: Engine, pool: Pool, what: str, beat_first: object
) -> None:
    execution_id, leases = await two_commands(engine)
    pairs = [(lease.command_id, lease.lease_token) for lease in reversed(leases)]
    acts: dict[str, Act] = {
        "extend": lambda connection: commands.extend(connection, leases[::-1], 60),
        "announced": lambda connection: connection.execute(commands.SQL.announced, *zip(*pairs, strict=True)),
        "release": lambda connection: commands.release(connection, leases[::-1]),
    }
    closing, beating = cancelling(execution_id), acts[what]
    hold = locking("command", leases[1].command_id)
    await meet(pool, Meeting(hold, beating, closing) if beat_first else Meeting(hold, closing, beating))
    assert (await engine.types(execution_id))[-1] == "execution.cancelled"
    assert await engine.value("select count(*) from playlog.command where state <> 'closed'") == 0


@pytest.mark.parametrize("beat_first", [False, True])
async def test_an_append_that_closes_and_holds_commands_meets_a_heartbeat(
    engine: Engine, pool: Pool, beat_first: object
) -> None:
    """The command that is held lies below the one that is closed; both are locked in one order."""
    await engine.register(ONE)
    paused, cancelled = [await engine.start("t/one") for _ in range(2)]
    leases = {each.execution_id: Lease(each.command_id, each.lease_token) for each in await engine.claim()}
    both = [leases[cancelled], leases[paused]]
    assert both[0].command_id > both[1].command_id
    await engine.connection.execute(BACKWARDS["command"], both[1].command_id)
    await engine.connection.execute("analyze playlog.command")
    pausing = engine_event(EventType.EXECUTION_PAUSED, {})
    steering = appending(
        Request(execution_id=cancelled, events=(cancel_event(None, compensate=False),), origin=Origin.ENGINE),
        Request(execution_id=paused, events=(pausing,), origin=Origin.ENGINE),
    )

    async def beating(connection: Connection) -> object:
        return await commands.extend(connection, both, 60)

    hold = locking("command", both[0].command_id)
    await meet(pool, Meeting(hold, beating, steering) if beat_first else Meeting(hold, steering, beating))
    states = "select array_agg(state || ' ' || paused order by command_id) from playlog.command"
    assert await engine.value(states) == ["claimed true", "closed false"]


async def test_a_claim_waits_for_nobody(engine: Engine, pool: Pool) -> None:
    await engine.register(PAIR)
    execution_id = await engine.start("t/pair")
    async with checkout(pool) as closer, closer.transaction():
        await cancelling(execution_id)(closer)
        assert await engine.claim() == []
    assert (await engine.types(execution_id))[-1] == "execution.cancelled"


async def test_two_groups_lock_their_heads_in_one_order(engine: Engine, pool: Pool) -> None:
    await engine.register(ONE)
    low, high = [await engine.start("t/one") for _ in range(2)]
    meeting = Meeting(
        hold=locking("execution", high),
        first=appending(note(high, 1), note(low, 1)),
        second=appending(note(low, 2), note(high, 2)),
    )
    await meet(pool, meeting)
    for execution_id in (low, high):
        assert (await engine.types(execution_id)).count("order.noted") == 2


async def test_two_groups_claim_their_keys_in_one_order(engine: Engine, pool: Pool) -> None:
    """What the holder claims is given back, so that both go for it."""
    await engine.register(ONE)

    async def started(key: str) -> Request:
        resolved, definition = await engine.definitions.resolve(engine.connection, "t/one", None)
        return start_request(definition, resolved, StartOrder(playbook="t/one", key=key))

    meeting = Meeting(
        hold=appending(await started("z")),
        first=appending(await started("z"), await started("a")),
        second=appending(await started("a"), await started("z")),
        undo=True,
    )
    await meet(pool, meeting)
    assert await engine.value("select count(*) from playlog.execution") == 2


async def test_heads_of_other_systems_are_made_in_one_order(engine: Engine, pool: Pool) -> None:
    intake = Intake(engine.appender, lambda: checkout(pool))

    def projecting(*execution_ids: int) -> Act:
        rows = [{"execution_id": each, "event_id": 1, "event_type": "x"} for each in execution_ids]
        return lambda _: intake.project(rows)

    async def late(connection: Connection) -> None:
        await connection.execute(
            "insert into playlog.execution (execution_id, version, recorded_at, status)"
            " values (4712, 0, clock_timestamp(), 'pending')"
        )

    meeting = Meeting(late, projecting(4712, 4711), projecting(4711, 4712), undo=True)
    answers = await meet(pool, meeting)
    assert sum(answer.materialized for answer in answers) == 2
    assert sum(answer.duplicates for answer in answers) == 2


async def test_deliveries_that_cross_wait_for_the_heads_of_their_targets_alone(
    engine: Engine, pool: Pool, database_url: str
) -> None:
    """The parent cancels its child while the child ends, on two replicas."""
    await engine.register(CHILD)
    await engine.register(PARENT)
    parent = await engine.start("t/parent")
    await carry_out(engine, pool)
    (command,) = await engine.claim()
    child = command.execution_id
    async with checkout(pool) as connection, running_engine(database_url) as replica:
        await cancelling(parent)(connection)
        meeting = Meeting(
            hold=locking("execution", child),
            first=lambda _: engine.complete(command),
            second=lambda _: carry_out(replica, pool),
        )
        await meet(pool, meeting)
    await carry_out(engine, pool)
    assert (await engine.types(parent))[-1] == "execution.cancelled"
    assert (await engine.types(child))[-1] == "execution.completed"
    assert await engine.value("select count(*) from playlog.delivery") == 0


async def carry_out(engine: Engine, pool: Pool) -> None:
    async with checkout(pool) as connection:
        await connection.execute("update playlog.delivery set available_at = now() - interval '5 s'")
        due = await deliveries.due(connection, 10)
        await deliveries.carry_out(connection, engine.appender, engine.definitions, due)


@pytest.mark.parametrize("what", ["published", "deleted", "failed"])
async def test_whoever_settles_messages_does_so_in_one_order(engine: Engine, pool: Pool, what: str) -> None:
    await engine.register(ONE)
    for _ in range(2):
        await engine.start("t/one")
    rows = await engine.connection.fetch("select outbox_id from playlog.outbox order by outbox_id")
    low, high = (row["outbox_id"] for row in rows)
    await engine.connection.execute(BACKWARDS["outbox"], low)
    await engine.connection.execute("analyze playlog.outbox")
    acts: dict[str, Act] = {
        "published": lambda connection: outbox.mark_published(connection, [low, high]),
        "deleted": lambda connection: delete(connection, [high, low]),
        "failed": lambda connection: park(
            connection, [Failure(outbox_id=each, error="no", attempts=1) for each in (low, high)]
        ),
    }
    meeting = Meeting(
        hold=locking("outbox", high),
        first=lambda connection: outbox.mark_published(connection, [high, low]),
        second=acts[what],
    )
    await meet(pool, meeting)
    assert await engine.value("select count(*) from playlog.outbox") == 0


async def delete(connection: Connection, outbox_ids: list[int]) -> None:
    """As a publisher's pass does it."""
    async with connection.transaction():
        await shards.begin_pass(connection)
        await publishing.delete_published(connection, outbox_ids)
