"""Work behind the log to be struck by crashes: publishing, projecting and healing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from engine.runtime.atomic_batch import OutgoingMessage
from engine.write import outbox
from tests.support.acts import Act
from tests.support.ledger import OutboxLease
from tests.support.mortal import Office
from tests.support.servers import delete_streams
from tests.support.town import Town


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
        lines = "".join(f"{name}: {value}\r\n" for name, value in message.headers.items()).encode()
        await stream.publish_one(
            OutgoingMessage(subject=message.subject, payload=message.payload, header_lines=lines)
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
