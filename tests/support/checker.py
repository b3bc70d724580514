"""After every fault: log, outbox, stream, snapshots and answers must tell one story.

What a broken promise is, `tests.support.violations` knows; here everything is read and put before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import asyncpg
import nats
import orjson
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import FetchTimeoutError, NotFoundError

from engine.read.verify import verify
from tests.support import violations
from tests.support.ledger import Ledger
from tests.support.violations import Event, Head, Kind, Log, Published, Violation

STREAM = "PLAYLOG_EVENTS"
HEADS = "select execution_id, version, ended_at, definition_hash from playlog.execution"
EVENTS = """
select execution_id, version, event_id, event_type, recorded_at, command_id, meta ->> 'worker_id' as worker_id
from playlog.event
order by execution_id, version
"""
WAITING = """
select execution_id, 'waits' as what from playlog.outbox
union all
select execution_id, 'is dead' from playlog.outbox_dead
"""


async def check(connection: asyncpg.Connection, nats_url: str, ledger: Ledger, *, faults: int) -> Log:
    """The whole check; raises AssertionError with every violation. `faults` is how many have fired."""
    log, found = await inspect(connection, nats_url, ledger, faults=faults)
    require_none(found)
    return log


def require_none(found: Iterable[Violation]) -> None:
    """Raise AssertionError when a promise is broken."""
    lines = [f"{each.kind}: {each.execution_id}: {each.detail}" for each in found]
    assert not lines, "\n".join(lines)


async def inspect(
    connection: asyncpg.Connection, nats_url: str, ledger: Ledger, *, faults: int
) -> tuple[Log, list[Violation]]:
    """The log and every violation of a promise."""
    log = await read_log(connection)
    versions = await snapshot_versions(connection)
    ledger.saw(versions)
    return log, [
        *violations.in_log(log),
        *violations.in_answers(log, ledger),
        *violations.in_results(log, ledger),
        *violations.in_leases(ledger.outbox_leases),
        *await in_outbox(connection),
        *violations.in_stream(log, map(published, await read_stream(nats_url))),
        *violations.in_snapshots(log, versions, await drifted(connection, versions)),
        *violations.in_sightings(ledger),
        *violations.in_the_test(ledger, log, faults),
    ]


async def read_log(connection: asyncpg.Connection) -> Log:
    """All heads and events, as of one moment."""
    log = Log()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for row in await connection.fetch(HEADS):
            log.heads[row["execution_id"]] = Head(
                row["version"], row["ended_at"] is not None, row["definition_hash"] is None
            )
        for row in await connection.fetch(EVENTS):
            execution_id, *rest = row
            log.events[execution_id].append(Event(*rest))
    return log


async def in_outbox(connection: asyncpg.Connection) -> list[Violation]:
    """Nothing waits after the outbox was drained."""
    rows = await connection.fetch(WAITING)
    return [Violation(Kind.OUTBOX, row["execution_id"], f"a message {row['what']}") for row in rows]


async def snapshot_versions(connection: asyncpg.Connection) -> dict[int, int]:
    """The version of each snapshot."""
    rows = await connection.fetch("select execution_id, version from playlog.snapshot")
    return {row["execution_id"]: row["version"] for row in rows}


async def drifted(connection: asyncpg.Connection, execution_ids: Iterable[int]) -> list[int]:
    """Executions whose snapshot is not what a fresh fold makes of the log, or cannot be folded."""
    verified = await verify(connection, list(execution_ids))
    return [*(drift.execution_id for drift in verified.drifted), *verified.failed]


def published(body: bytes) -> Published:
    """A message of the stream."""
    message = orjson.loads(body)
    events = tuple((event["version"], int(event["event_id"])) for event in message["events"])
    return Published(int(message["execution_id"]), events)


async def check_log(connection: asyncpg.Connection) -> Log:
    """Versions 1..n without gaps up to the head, times never fall, one terminal event a run."""
    log = await read_log(connection)
    require_none(violations.in_log(log))
    return log


async def check_outbox_is_empty(connection: asyncpg.Connection) -> None:
    """Nothing waits and nothing was given up."""
    require_none(await in_outbox(connection))


async def check_snapshots(connection: asyncpg.Connection, log: Log) -> None:
    """Each snapshot is at its head's version and equals a fresh fold."""
    versions = await snapshot_versions(connection)
    require_none(violations.in_snapshots(log, versions, await drifted(connection, versions)))


async def check_stream(nats_url: str, log: Log) -> None:
    """The stream, rid of repetitions, holds every event of the log in its execution's order."""
    require_none(violations.in_stream(log, map(published, await read_stream(nats_url))))


async def check_newest_generation(nats_url: str, heads: dict[int, int]) -> None:
    """What was published since the stream last forgot is every version of every execution, in order.

    `heads` are the versions by execution_id. What came in before the loss was noticed does not count.
    """
    try:
        messages = await read_messages(nats_url)
    except NotFoundError:
        raise AssertionError("there is no stream") from None
    generations = [int((message.headers or {})["Nats-Msg-Id"].rpartition(":")[2]) for message in messages]
    seen: dict[int, int] = defaultdict(int)
    for message, generation in zip(messages, generations, strict=True):
        if generation == max(generations):
            body = orjson.loads(message.data)
            follow(seen, int(body["execution_id"]), body["events"])
    assert dict(seen) == heads


def follow(seen: dict[int, int], execution_id: int, events: Iterable[dict[str, int]]) -> None:
    """Go on by one message: each version is known or the next."""
    for event in events:
        version = event["version"]
        assert version <= seen[execution_id] + 1, (execution_id, version, seen[execution_id])
        seen[execution_id] = max(seen[execution_id], version)


async def read_stream(nats_url: str) -> list[bytes]:
    """The body of every message of the stream, oldest first."""
    return [message.data for message in await read_messages(nats_url)]


async def read_messages(nats_url: str) -> list[Msg]:
    """Every message of the stream, oldest first."""
    connection = await nats.connect(nats_url)
    try:
        jetstream = connection.jetstream()
        total = (await jetstream.stream_info(STREAM)).state.messages
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL)
        subscription = await jetstream.pull_subscribe("", stream=STREAM, config=config)
        messages: list[Msg] = []
        while len(messages) < total:
            try:
                messages += await subscription.fetch(500, timeout=5)
            except (FetchTimeoutError, TimeoutError):
                break
        assert len(messages) >= total
        return messages
    finally:
        await connection.close()
