"""Work on the log to be struck by crashes: whatever appends, and what hands commands out."""

from __future__ import annotations

from hashlib import sha256

from engine.domain.admit import Verdict
from engine.domain.handles import PayloadKey
from engine.domain.ids import derive_id
from engine.language import parse
from engine.write import catalog, commands, executions, payloads
from engine.write.commands import Lease
from engine.write.executions import StartOrder
from tests.support.acts import Act
from tests.support.anything import TOOLS
from tests.support.mortal import Office
from tests.support.town import DELIVERIES_ARE_DUE, Town, go, result_of, succeeds

WORKER = "w1"
TAKEN = {Verdict.RECORDED, Verdict.DUPLICATE}


async def register(town: Town) -> Act:
    source = f"{{playbook: town/p{next(town.numbers)}, steps: [{{name: a, tool: noop}}]}}"
    parsed = parse(source.encode(), tools=TOOLS)

    async def call(now: Office) -> None:
        async with now.checkout() as connection:
            registered = await catalog.register(connection, parsed, source)
        town.ledger.answers[f"register {registered.path}"].append(registered.version)

    return Act(town.office, call)


async def start(town: Town) -> Act:
    number = next(town.numbers)
    order = StartOrder(
        playbook="town/main", inputs={"n": number}, key=f"order-{number}", idempotency_key=f"order-{number}"
    )

    async def call(now: Office) -> None:
        for _ in range(2):
            await town.order(now, order)

    return Act(town.office, call)


async def project_events(town: Town) -> Act:
    rows = town.foreign_rows(executions=3, events=2)
    return Act(town.office, lambda now: town.record(now, [*rows, rows[0]]))


async def materialize(town: Town) -> Act:
    ids = [await town.start("town/main"), *await town.foreign(1)]
    raw = [
        {"execution_id": str(each), "event_id": each + n, "event_type": "note.made", "step": "note"}
        for each in ids
        for n in (1, 2, 2)
    ]
    asked = [town.ledger.ask(each, [each + 1, each + 2]) for each in ids]

    async def call(now: Office) -> None:
        taken = await now.intake.materialize(raw, "a key")
        taken_or_known = taken.materialized + taken.duplicates
        town.ledger.answers[f"materialize {ids[0]}"].append((taken_or_known, taken.rejected))
        for request in asked:
            request.acknowledged = True

    return Act(town.office, call)


async def signal(town: Town) -> Act:
    execution_id = await town.start("town/main")

    async def call(now: Office) -> None:
        await go(now, execution_id)
        event_id = derive_id("signal", execution_id, f"go {execution_id}")
        town.ledger.ask(execution_id, [event_id]).acknowledged = True

    return Act(town.office, call)


async def cancel(town: Town) -> Act:
    """The cancelled execution has a child and the child an open command."""
    execution_id = await town.start("town/parent")
    await town.office.call(lambda now: now.desk.deliveries.step())

    async def call(now: Office) -> None:
        standing = await executions.cancel(now.desk.appender, execution_id)
        town.ledger.answers[f"cancel {execution_id}"].append((standing.version, standing.status))

    return Act(town.office, call)


async def claim(town: Town) -> Act:
    """What a lost claim has taken comes back when its lease has run out, which it does at once here."""
    await town.start("town/main")

    async def call(now: Office) -> None:
        await town.claim(now, f"w{next(town.numbers)}", lease=0.0)

    return Act(town.office, call)


async def heartbeat(town: Town) -> Act:
    """The first heartbeat of a long attempt, which the log learns of."""
    await town.start("town/main")
    held = await town.office.call(lambda now: town.claim(now, WORKER))
    leases = [Lease(command.command_id, command.lease_token) for command in held]

    async def call(now: Office) -> None:
        async with now.checkout() as connection:
            beat = await commands.extend(connection, leases, 0.0)
        await commands.announce(now.checkout, now.desk.appender, beat.claims)
        town.ledger.answers[f"beat {leases}"].append((beat.extended, beat.cancelled, beat.lost))

    return Act(town.office, call)


async def release(town: Town) -> Act:
    await town.start("town/main")
    held = await town.office.call(lambda now: town.claim(now, WORKER))
    leases = [Lease(command.command_id, command.lease_token) for command in held]

    async def call(now: Office) -> None:
        async with now.checkout() as connection:
            await commands.release(connection, leases)
        for lease in leases:
            town.ledger.holders.pop(lease.command_id, None)

    return Act(town.office, call)


async def settle(town: Town) -> Act:
    """Results of four executions at once: a retry, a branch with a guard, a join, the end of a child."""
    ids = [await town.start("town/main") for _ in range(3)]
    for passed, execution_id in enumerate(ids):
        for _ in range(passed):
            await _settle_all_of(town, execution_id)
    child = await town.start("town/parent")
    await town.office.call(lambda now: now.desk.deliveries.step())
    held = await town.office.call(lambda now: town.claim(now, WORKER))
    assert len(held) >= len([*ids, child])
    results = [
        result_of(command, succeeds=succeeds(command), named=bool(place % 2))
        for place, command in enumerate(held)
    ]

    async def call(now: Office) -> None:
        verdicts = await town.settle(now, WORKER, results)
        town.ledger.answers[f"settle {held[0].command_id}"].append(set(verdicts) <= TAKEN)
        assert set(verdicts) <= TAKEN, verdicts

    return Act(town.office, call)


ROWS = b'{"rows": [1, 2]}'
USED = """
select count(*) from playlog.event e join playlog.event u using (execution_id)
join playlog.payload p using (execution_id)
where e.execution_id = any($1::bigint[]) and e.event_type = 'command.completed' and e.step = 'big'
    and e.payload -> 'reference' ->> 'bytes' = p.bytes::text
    and u.event_type = 'command.issued' and u.step = 'use'
"""


async def settle_stored(town: Town) -> Act:
    """Outputs are stored, then results refer to them, and a guard reads what was stored."""
    ids = [await town.start("town/large") for _ in range(2)]
    held = await town.office.call(lambda now: town.claim(now, WORKER))
    keys = [PayloadKey(command.execution_id, sha256(ROWS).digest()) for command in held]
    results = [result_of(command, uri=key.uri) for command, key in zip(held, keys, strict=True)]

    async def call(now: Office) -> None:
        for key in keys:
            async with now.checkout() as connection:
                await payloads.store(connection, key, ROWS)
        verdicts = await town.settle(now, WORKER, results)
        assert set(verdicts) <= TAKEN, verdicts

    async def done() -> bool:
        return bool(await town.connection.fetchval(USED, ids) == len(ids))

    return Act(town.office, call, done)


async def _settle_all_of(town: Town, execution_id: int) -> None:
    """One round of an execution's commands; what others have is handed back."""
    held = await town.office.call(lambda now: town.claim(now, WORKER))
    own = [command for command in held if command.execution_id == execution_id]
    others = [Lease(each.command_id, each.lease_token) for each in held if each not in own]

    async def call(now: Office) -> None:
        async with now.checkout() as connection:
            await commands.release(connection, others)
        await town.settle(now, WORKER, [result_of(command, succeeds=succeeds(command)) for command in own])

    await town.office.call(call)


async def timers(town: Town) -> Act:
    ids = [await town.start("town/napping") for _ in range(2)]
    return _due(town, "select count(*) from playlog.timer where execution_id = any($1::bigint[])", ids)


async def leases(town: Town) -> Act:
    for _ in range(2):
        await town.start("town/main")
    held = await town.office.call(lambda now: town.claim(now, WORKER, lease=0.0))
    ids = [command.command_id for command in held]
    return _due(
        town,
        "select count(*) from playlog.command where state = 'claimed' and command_id = any($1::bigint[])",
        ids,
    )


async def late_deliveries(town: Town) -> Act:
    """Deliveries that the process which wrote them never carried out, as it died before."""
    for _ in range(2):
        await town.start("town/parent")
    await town.office.restart()

    async def call(now: Office) -> None:
        await town.connection.execute(DELIVERIES_ARE_DUE)
        await now.due.step()

    return Act(town.office, call, lambda: _nothing_is_to_be_delivered(town))


async def _nothing_is_to_be_delivered(town: Town) -> bool:
    return bool(await town.connection.fetchval("select count(*) = 0 from playlog.delivery"))


def _due(town: Town, remaining: str, ids: list[int]) -> Act:
    async def done() -> bool:
        return bool(await town.connection.fetchval(remaining, ids) == 0)

    return Act(town.office, lambda now: now.due.step(), done)


async def deliveries(town: Town) -> Act:
    """Deliveries right after the commit that wrote them; those of a process that dies are the scheduler's."""
    await town.start("town/parent")

    async def call(now: Office) -> None:
        await now.desk.deliveries.step()
        if not now.desk.after.deliveries:
            await town.connection.execute(DELIVERIES_ARE_DUE)
            await now.due.step()

    return Act(town.office, call, lambda: _nothing_is_to_be_delivered(town))


async def deadlines(town: Town) -> Act:
    """Deadlines without a timer: the page of live executions finds them."""
    ids = [await town.start("town/main", deadline=0.001) for _ in range(2)]
    await town.connection.execute("delete from playlog.timer where execution_id = any($1::bigint[])", ids)

    async def done() -> bool:
        query = "select count(*) = 0 from playlog.execution where ended_at is null and execution_id = any($1)"
        return bool(await town.connection.fetchval(query, ids))

    return Act(town.office, lambda now: now.deadlines.step(), done)
