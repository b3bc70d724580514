"""What may be struck by a crash: one small piece of work a kind, made ready on fresh executions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.domain.admit import Verdict
from engine.domain.ids import derive_id
from engine.language import parse
from engine.runtime.atomic_batch import OutgoingMessage
from engine.write import catalog, commands, executions, outbox
from engine.write.commands import Lease
from engine.write.executions import StartOrder
from engine.write.purge import purge
from tests.support.ledger import OutboxLease
from tests.support.mortal import Life, Office
from tests.support.servers import delete_streams
from tests.support.town import DELIVERIES_ARE_DUE, Town, go, result_of, succeeds

MOST_TRIES = 200
WORKER = "w1"
TAKEN = {Verdict.RECORDED, Verdict.DUPLICATE}


@dataclass(frozen=True, slots=True)
class Act:
    """A call on a process that is repeated until it is answered, and then until `done`, if it is a role's."""

    life: Life[Any]
    call: Callable[[Any], Awaitable[object]]
    done: Callable[[], Awaitable[bool]] | None = None

    async def complete(self, town: Town) -> None:
        """Carry it out as its caller would, whatever breaks on the way."""
        for _ in range(MOST_TRIES):
            await self.life.insist(self.call)
            await town.look()
            if self.done is None or await self.done():
                return
        raise AssertionError("it never comes to rest")


@dataclass(frozen=True, slots=True)
class Kind:
    """`ready` makes fresh work; the run without a fault makes at least `calls` calls."""

    ready: Callable[[Town], Awaitable[Act]]
    calls: int


async def register(town: Town) -> Act:
    source = f"{{playbook: town/p{next(town.numbers)}, steps: [{{name: a, tool: noop}}]}}"
    parsed = parse(source.encode())

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


async def publish(town: Town) -> Act:
    await town.foreign(executions=3)
    return Act(town.publisher, lambda now: now.step(), lambda: _nothing_waits(town))


async def first_publish(town: Town) -> Act:
    """The first pass of a new process, which must make sure of the stream."""
    await town.foreign(executions=2)
    await town.publisher.restart()
    return Act(town.publisher, lambda now: now.step(), lambda: _nothing_waits(town))


async def refill(town: Town) -> Act:
    await town.foreign(executions=1)
    await delete_streams(town.nats_url)
    await town.foreign(executions=1)
    town.publisher.now._watch.doubt()
    return Act(town.publisher, lambda now: now.step(), lambda: _nothing_waits(town))


async def _nothing_waits(town: Town) -> bool:
    refilling = "select count(*) from playlog.shard where refill_after is not null"
    return await town.messages() == 0 and await town.connection.fetchval(refilling) == 0


async def project(town: Town) -> Act:
    await town.foreign(executions=3)
    await town.publish()

    async def done() -> bool:
        return not await town.behind()

    return Act(town.projector, lambda now: now.step(), done)


async def first_project(town: Town) -> Act:
    """The first pass of a new process: it attaches its consumer and reads states from the log."""
    act = await project(town)
    await town.projector.restart()
    return act


async def sweep(town: Town) -> Act:
    """Live executions of which no message has come."""
    ids = await town.foreign(executions=3)

    async def done() -> bool:
        return not set(ids) & set(await town.behind())

    return Act(town.office, lambda now: now.sweep.step(), done)


async def outbox_claim(town: Town) -> Act:
    """A lost claim is free again when its lease has run out, which it does at once here."""
    await town.foreign(executions=2)
    return Act(town.office, lambda now: claim_messages(town, now, lease_seconds=0))


async def claim_messages(town: Town, now: Office, *, lease_seconds: int) -> list[outbox.Claimed]:
    since: datetime = await town.connection.fetchval("select clock_timestamp()")
    async with now.checkout() as connection:
        claimed = await outbox.claim(connection, 100, lease_seconds)
    town.ledger.outbox_leases += [
        OutboxLease(message.outbox_id, since, message.leased_until) for message in claimed
    ]
    return claimed


async def mark_published(town: Town) -> Act:
    """Messages that an HTTP claimer has published."""
    await town.publish()
    await town.foreign(executions=3)
    held = await town.office.call(lambda now: claim_messages(town, now, lease_seconds=60))
    await publish_messages(town, held)
    ids, tokens = [each.outbox_id for each in held], [each.lease_token for each in held]

    async def call(now: Office) -> None:
        async with now.checkout() as connection:
            marked = await outbox.mark_published(connection, ids, tokens)
        town.ledger.answers[f"mark {ids}"].append(marked.stale)

    return Act(town.office, call)


async def publish_messages(town: Town, held: Iterable[outbox.Claimed]) -> None:
    """Publish as an HTTP claimer does, one message after the other."""
    stream = town.publisher.now._sender._stream
    await stream.state()
    for message in held:
        await stream.publish_one(
            OutgoingMessage(subject=message.subject, payload=message.payload, headers=message.headers)
        )


async def mark_failed(town: Town) -> Act:
    """A message that an HTTP claimer could not publish; that ends its lease, whoever hears of it."""
    await town.publish()
    await town.foreign(executions=1)
    (message,) = await town.office.call(lambda now: claim_messages(town, now, lease_seconds=60))
    town.ledger.outbox_leases.pop()

    async def call(now: Office) -> None:
        async with now.checkout() as connection:
            await outbox.mark_failed(
                connection, message.outbox_id, "no", max_delay_seconds=0, lease_token=message.lease_token
            )

    return Act(town.office, call)


AGE = """
update playlog.command set closed_at = closed_at - interval '30 days' where state = 'closed';
insert into playlog.idempotency (scope, idempotency_key, request_hash, execution_id, created_at)
select 'start', gen_random_uuid()::text, decode(repeat('00', 16), 'hex'), 1,
    clock_timestamp() - interval '30 days';
"""
AGED = """
select (select count(*) from playlog.command where closed_at < clock_timestamp() - interval '7 days')
    + (select count(*) from playlog.idempotency where created_at < clock_timestamp() - interval '7 days')
"""
KEPT = """
select (select count(*) from playlog.command where state <> 'closed'),
    (select count(*) from playlog.idempotency where scope = 'key'), (select count(*) from playlog.event)
"""


async def purging(town: Town) -> Act:
    await town.start("town/main")
    await town.finish()
    await town.start("town/main")
    await town.connection.execute(AGE)
    kept = await town.connection.fetchrow(KEPT)

    async def call(now: Office) -> None:
        async with now.checkout() as connection:
            await purge(connection)

    async def done() -> bool:
        assert await town.connection.fetchrow(KEPT) == kept
        return bool(await town.connection.fetchval(AGED) == 0)

    return Act(town.office, call, done)


KINDS: dict[str, Kind] = {
    "register": Kind(register, 6),
    "start": Kind(start, 7),
    "append of a foreign batch": Kind(project_events, 8),
    "append of native events": Kind(materialize, 6),
    "signal": Kind(signal, 5),
    "cancel": Kind(cancel, 6),
    "claim": Kind(claim, 1),
    "heartbeat": Kind(heartbeat, 6),
    "release": Kind(release, 1),
    "settle": Kind(settle, 7),
    "timers": Kind(timers, 7),
    "expired leases": Kind(leases, 7),
    "deliveries": Kind(deliveries, 7),
    "deliveries of the dead": Kind(late_deliveries, 12),
    "deadlines": Kind(deadlines, 6),
    "publish": Kind(publish, 6),
    "first publish": Kind(first_publish, 12),
    "refill": Kind(refill, 20),
    "project": Kind(project, 3),
    "first project": Kind(first_project, 6),
    "sweep": Kind(sweep, 7),
    "outbox claim": Kind(outbox_claim, 4),
    "mark published": Kind(mark_published, 3),
    "mark failed": Kind(mark_failed, 2),
    "purge": Kind(purging, 3),
}
