"""After every fault: the log, the outbox, the stream and the snapshots must tell one story."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import asyncpg
import nats
import orjson
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import FetchTimeoutError, NotFoundError

from engine.domain.vocabulary import TERMINAL_EVENTS, EventType
from engine.read.verify import verify

STREAM = "PLAYLOG_EVENTS"
AFTER_THE_END = {EventType.COMMAND_LATE.value}
TERMINAL = {kind.value for kind in TERMINAL_EVENTS}


@dataclass(slots=True)
class Story:
    """What the log says: the versions of each execution and how many have ended."""

    versions: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    ended: int = 0
    messages: int = 0

    @property
    def events(self) -> int:
        return sum(map(len, self.versions.values()))


async def check_log(connection: asyncpg.Connection) -> Story:
    """Versions 1..n without gaps up to the head, times never fall, one terminal event a run."""
    story = Story()
    rows = await connection.fetch(
        "select execution_id, version, event_type, recorded_at from playlog.event"
        " order by execution_id, version"
    )
    types: dict[int, list[str]] = defaultdict(list)
    moments = defaultdict(list)
    for row in rows:
        story.versions[row["execution_id"]].append(row["version"])
        types[row["execution_id"]].append(row["event_type"])
        moments[row["execution_id"]].append(row["recorded_at"])
    heads = await connection.fetch("select execution_id, version, ended_at from playlog.execution")
    assert {head["execution_id"] for head in heads} == set(story.versions)
    for head in heads:
        execution_id = head["execution_id"]
        assert story.versions[execution_id] == list(range(1, head["version"] + 1)), execution_id
        assert moments[execution_id] == sorted(moments[execution_id]), execution_id
        before_late = [kind for kind in types[execution_id] if kind not in AFTER_THE_END]
        terminal = [kind for kind in before_late if kind in TERMINAL]
        if head["ended_at"] is not None:
            assert terminal == [before_late[-1]], types[execution_id]
            story.ended += 1
        else:
            assert terminal == [], types[execution_id]
    return story


async def check_outbox_is_empty(connection: asyncpg.Connection) -> None:
    assert await connection.fetchval("select count(*) from playlog.outbox") == 0
    assert await connection.fetchval("select count(*) from playlog.outbox_dead") == 0


async def check_snapshots(connection: asyncpg.Connection, story: Story) -> None:
    """Each snapshot is at its head's version and equals a fresh fold."""
    rows = await connection.fetch("select execution_id, version from playlog.snapshot")
    stored = {row["execution_id"]: row["version"] for row in rows}
    assert stored == {execution_id: versions[-1] for execution_id, versions in story.versions.items()}
    verified = await verify(connection, list(stored))
    assert verified.drifted == []
    assert len(stored) == len(story.versions)


async def check_stream(nats_url: str, story: Story) -> None:
    """The stream, rid of repetitions, holds every event of the log in its execution's order."""
    seen: dict[int, int] = defaultdict(int)
    for body in await read_stream(nats_url):
        message = orjson.loads(body)
        story.messages += 1
        follow(seen, int(message["execution_id"]), message["events"])
    expected = {execution_id: versions[-1] for execution_id, versions in story.versions.items()}
    assert dict(seen) == expected


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
