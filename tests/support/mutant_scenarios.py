"""Short stories in which one guard of the product matters; each ends at rest and says how many faults it had.

Where a guard is missing the story may not come to rest: then the checker says what is left undone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import nats

from engine.domain.admit import Verdict
from engine.read.cache import StateCache
from engine.read.messages import parse_message
from engine.read.projection import project
from engine.runtime.loop import run_role
from engine.write import commands, executions, outbox
from engine.write.commands import Claimed, Lease
from engine.write.retention import purge_log
from projector.role import Projector
from tests.support.acts import Act
from tests.support.checker import STREAM, read_stream
from tests.support.crash_kinds import KINDS
from tests.support.crash_publishing import claim_messages, publish_messages
from tests.support.eventually import eventually
from tests.support.mortal import Life, Office, projector
from tests.support.servers import connected
from tests.support.town import Town, result_of

Scenario = Callable[[Town], Awaitable[int]]

REST_SECONDS = 5.0
MOST_SECONDS = 20.0
MOST_CALLS = 40
TIMED_OUT_SECONDS = 0.2


async def come_to_rest(town: Town) -> None:
    """End, publish and project everything; give up after a while, as the checker then finds out why."""
    for work in (town.finish, town.publish, town.project):
        with contextlib.suppress(AssertionError, TimeoutError):
            async with asyncio.timeout(REST_SECONDS):
                await work()


async def a_result_under_a_lease_that_was_handed_back(town: Town) -> int:
    await town.start("town/main")
    stale = await town.office.call(lambda now: town.claim(now, "w1"))
    leases = [Lease(command.command_id, command.lease_token) for command in stale]

    async def hand_back(now: Office) -> None:
        async with now.checkout() as connection:
            await commands.release(connection, leases)

    await town.office.call(hand_back)
    held = await town.office.call(lambda now: town.claim(now, "w2"))
    for worker, given in (("w1", stale), ("w2", held)):
        await town.office.call(partial(settle, town=town, worker=worker, given=given))
    await come_to_rest(town)
    return 1


async def a_result_after_a_cancel(town: Town) -> int:
    execution_id = await town.start("town/main")
    held = await town.office.call(lambda now: town.claim(now, "w1"))
    await town.office.call(lambda now: executions.cancel(now.desk.appender, execution_id))
    await town.office.call(partial(settle, town=town, worker="w1", given=held))
    await come_to_rest(town)
    return 1


async def settle(now: Office, *, town: Town, worker: str, given: list[Claimed]) -> list[Verdict]:
    return await town.settle(now, worker, [result_of(command) for command in given])


async def a_batch_sent_twice(town: Town) -> int:
    rows = town.foreign_rows(executions=2, events=2)
    for _ in range(2):
        await town.office.call(lambda now: town.record(now, rows))
    await come_to_rest(town)
    return 1


async def native_events_sent_twice(town: Town) -> int:
    act = await KINDS["append of native events"].ready(town)
    for _ in range(2):
        await act.complete(town)
    await come_to_rest(town)
    return 1


async def a_purge_of_what_only_looks_old(town: Town) -> int:
    """Executions with old ids that have just been recorded and wait to be published; and a new one."""
    await town.foreign(executions=2)
    await town.start("town/main")
    month = "select date_trunc('month', clock_timestamp(), 'UTC') + interval '1 day'"
    given = await purge_log(town.connection, 1, moment=await town.connection.fetchval(month))
    await come_to_rest(town)
    return len(given.held) + given.emptied


async def everything_delivered_again(town: Town) -> int:
    """The consumer is deleted; its next one gives a new projector every message, one at a time."""
    await town.foreign(executions=2)
    await come_to_rest(town)
    await town.projector.end()
    client = await nats.connect(town.nats_url)
    await client.jetstream().delete_consumer(STREAM, "projector")
    await client.close()
    await town.projector.begin()
    for _ in await read_stream(town.nats_url):
        await town.projector.call(lambda now: now.step())
        await town.look()
    await come_to_rest(town)
    return 1


async def a_projector_that_dies_at_each_call(town: Town) -> int:
    return await deaths(town, only_messages)


async def only_messages(town: Town) -> Act:
    """One message an execution, so that no later one of it shows the gap."""
    await town.foreign(executions=2, events=1)
    await town.publish()

    async def done() -> bool:
        return not await town.behind()

    return Act(town.projector, lambda now: now.step(), done)


async def a_publisher_that_dies_at_each_call(town: Town) -> int:
    return await deaths(town, KINDS["publish"].ready)


async def deaths(town: Town, ready: Callable[[Town], Awaitable[Act]]) -> int:
    """Fresh work for each call at which its process dies before the server sees it; no sweep heals."""
    fired = 0
    for at in range(1, MOST_CALLS):
        act = await ready(town)
        plan = act.life.plan
        plan.arm(at, after=False, deadly=True)
        try:
            async with asyncio.timeout(REST_SECONDS):
                await act.complete(town)
        except (AssertionError, TimeoutError):
            break
        finally:
            plan.disarm()
            fired += plan.fired
        if not plan.fired:
            break
    await come_to_rest(town)
    return fired


async def a_message_that_nats_has_lost(town: Town) -> int:
    """Three appends of one execution; a projector that knows the first gets the third."""
    (row,) = town.foreign_rows(executions=1, events=1)
    for n in (1, 2, 3):
        event = {**row, "event_id": int(str(row["event_id"])) + n, "node_name": f"step_{n}"}
        await town.office.call(partial(record, town=town, row=event))
    with contextlib.suppress(AssertionError):
        await town.publish()
    first, _, third = [parse_message(body) for body in await read_stream(town.nats_url)]
    cache = StateCache()
    for message in (first, third):
        await project(town.connection, [message], cache)
    await town.look()
    await come_to_rest(town)
    return 1


async def record(now: Office, *, town: Town, row: dict[str, object]) -> None:
    await town.record(now, [row])


async def two_claimers(town: Town) -> int:
    """One holds the first message of an execution; another asks for more, and is quicker."""
    await town.publish()
    await town.foreign(executions=1)
    hands = [
        await town.office.call(lambda now: claim_messages(town, now, lease_seconds=60)) for _ in range(2)
    ]
    for held in reversed(hands):
        await publish(town, held)
    await come_to_rest(town)
    return 1


async def publish(town: Town, held: list[outbox.Claimed]) -> None:
    """Publish and mark, as an HTTP claimer does."""
    await publish_messages(town, held)
    ids, tokens = [each.outbox_id for each in held], [each.lease_token for each in held]

    async def mark(now: Office) -> None:
        async with now.checkout() as connection:
            await outbox.mark_published(connection, ids, tokens)

    await town.office.call(mark)


async def a_restored_database(town: Town) -> int:
    """The stream has lost all messages but one, and remembers the ids of all.

    Executions of one append: a refill cuts their messages as the append did, so that only the generation
    tells the ids apart.
    """
    await town.foreign(executions=3, events=1)
    await come_to_rest(town)
    client = await nats.connect(town.nats_url)
    jetstream = client.jetstream()
    config = (await jetstream.stream_info(STREAM)).config
    for most in (1, -1):
        await jetstream.update_stream(config.evolve(max_msgs=most))
    assert (await jetstream.stream_info(STREAM)).state.messages == 1
    await client.close()
    await town.connection.execute("update playlog.shard set server = 'another/00000001'")
    await town.publisher.restart()
    await come_to_rest(town)
    return 1


async def a_statement_that_takes_too_long(town: Town) -> int:
    """The snapshots are locked for longer than a statement may take; the projector runs in its loop."""
    await town.foreign(executions=2)
    await town.publish()
    stop = asyncio.Event()
    slow = Life(partial(projector, town.database_url, town.nats_url, command_timeout=TIMED_OUT_SECONDS))
    await slow.begin()
    watched = Watched(slow.now)
    async with connected(town.database_url) as other, other.transaction():
        await other.execute("lock table playlog.snapshot")
        running = asyncio.create_task(slow.call(lambda _: run_role(watched, stop=stop)))
        async with asyncio.timeout(MOST_SECONDS):
            await watched.failed.wait()
    with contextlib.suppress(AssertionError):
        await eventually(partial(nothing_is_behind, town), timeout=REST_SECONDS)
    stop.set()
    await asyncio.gather(running, return_exceptions=True)
    await slow.end()
    return 1


@dataclass(slots=True)
class Watched:
    """A projector that tells when a pass has failed."""

    role: Projector
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "projector"

    async def step(self) -> float:
        try:
            return await self.role.step()
        except Exception:
            self.failed.set()
            raise


async def nothing_is_behind(town: Town) -> None:
    assert await town.behind() == []
