"""The projector role against a real stream: acknowledge after COMMIT, heal by itself, give way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest

from engine.domain.snapshot import FOLD_VERSION
from engine.domain.subjects import event_subject
from engine.errors import PlaylogError
from engine.read.cache import StateCache
from engine.read.projection import project
from engine.runtime.atomic_batch import OutgoingMessage
from engine.runtime.broker import Broker
from engine.runtime.consumer import PullConsumer
from engine.runtime.database import Connection, connect
from engine.runtime.settings import BrokerSettings, DatabaseSettings
from engine.runtime.stream import EventStream
from projector.role import Projector, read
from tests.support.engine import Engine
from tests.support.eventually import eventually
from tests.support.projecting import (
    FOREIGN,
    append_foreign,
    assert_snapshots_are_true,
    foreign,
    heads,
    play_some,
    projected,
)

ACK_WAIT = 1.0
DURABLE = "projector"
WAITING_BACKENDS = """
select array_agg(pid) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
"""
ROWS = (
    "select outbox_id, subject, payload, execution_id, first_version from playlog.outbox order by outbox_id"
)


@dataclass
class Chain:
    """The stream between the log and one or more projectors."""

    engine: Engine
    broker: Broker
    stream: EventStream
    database_url: str
    announced: dict[int, int] = field(default_factory=dict)
    opened: list[Connection] = field(default_factory=list)

    async def publish(self, *, without: Collection[tuple[int, int]] = ()) -> int:
        """Publish and delete what waits in the outbox, but lose some (execution_id, first_version)."""
        rows = await self.engine.connection.fetch(ROWS)
        await self.stream.state()
        for row in rows:
            if (row["execution_id"], row["first_version"]) not in without:
                lines = f"Nats-Msg-Id: {row['outbox_id']}\r\n".encode()
                message = OutgoingMessage(row["subject"], row["payload"].encode(), lines)
                await self.stream.publish_one(message)
        await self.engine.connection.execute("delete from playlog.outbox")
        return len(rows)

    def consumer(self) -> PullConsumer:
        return PullConsumer(self.broker, self.stream, DURABLE, ack_wait=ACK_WAIT)

    async def _open(self) -> Connection:
        connection = await connect(DatabaseSettings(database_url=self.database_url))
        self.opened.append(connection)
        return connection

    @asynccontextmanager
    async def projector(self) -> AsyncIterator[Projector]:
        consumer = self.consumer()
        projector = Projector(consumer, self._open, self.announced.__setitem__)
        yield projector
        await consumer.close()
        await projector.close()

    async def waiting(self) -> tuple[int, int]:
        """Messages not yet fetched, and fetched but not acknowledged."""
        info = await self.stream.api(f"CONSUMER.INFO.{self.stream.name}.{DURABLE}")
        return info["num_pending"], info["num_ack_pending"]

    async def drain(self, *projectors: Projector) -> None:
        async def all_is_told() -> None:
            for projector in projectors:
                await projector.step()
            assert await self.waiting() == (0, 0)

        await eventually(all_is_told)


@pytest.fixture
async def chain(engine: Engine, nats_url: str, database_url: str) -> AsyncIterator[Chain]:
    settings = BrokerSettings(nats_url=nats_url, stream_max_bytes=2**26)
    broker = Broker(settings)
    await broker.connect()
    stream = EventStream(broker, settings)
    await stream.ensure()
    yield Chain(engine, broker, stream, database_url)
    await broker.close()


async def test_what_is_published_is_projected_acknowledged_and_announced(chain: Chain) -> None:
    await play_some(chain.engine)
    await chain.publish()
    async with chain.projector() as projector:
        await chain.drain(projector)
    assert await projected(chain.engine.connection) == await heads(chain.engine.connection) == chain.announced
    await assert_snapshots_are_true(chain.engine.connection)


async def test_without_messages_a_pass_just_ends(chain: Chain) -> None:
    async with chain.projector() as projector:
        assert await projector.step() == 0.0
        assert await projector.fault() is None


async def test_two_projectors_share_the_stream(chain: Chain) -> None:
    for number in range(6):
        for event_id in range(1, 6):
            event = foreign("node.done", event_id, step=f"s{event_id}")
            await append_foreign(chain.engine.connection, FOREIGN + number, event)
    async with chain.projector() as one, chain.projector() as other:
        await one.step()
        await chain.publish()
        await chain.drain(one, other)
    assert await projected(chain.engine.connection) == await heads(chain.engine.connection)
    await assert_snapshots_are_true(chain.engine.connection)


async def test_a_crash_between_commit_and_acknowledge_repeats_and_changes_nothing(chain: Chain) -> None:
    connection = chain.engine.connection
    await play_some(chain.engine)
    waiting = await connection.fetchval("select count(*) from playlog.outbox")
    await chain.publish()
    crashing = chain.consumer()
    batch = await crashing.fetch(100, 5)
    while len(batch) < waiting:
        batch += await crashing.fetch(100, 5)
    messages, unreadable = read(batch)
    assert unreadable == {}
    await project(connection, messages, StateCache())
    await crashing.close()
    before = await connection.fetch("select * from playlog.snapshot order by execution_id")
    async with chain.projector() as projector:
        await chain.drain(projector)
    assert await connection.fetch("select * from playlog.snapshot order by execution_id") == before


async def test_a_crash_before_the_commit_acknowledges_nothing(chain: Chain) -> None:
    connection = chain.engine.connection
    async with chain.projector() as projector:
        await append_foreign(connection, FOREIGN, foreign("node.started", 1))
        await chain.publish()
        await chain.drain(projector)
        await append_foreign(connection, FOREIGN, foreign("node.started", 2))
        await chain.publish()
        async with connection.transaction():
            await connection.execute("lock table playlog.snapshot in exclusive mode")
            step = asyncio.create_task(projector.step())

            async def the_projector_waits() -> None:
                assert await connection.fetchval(WAITING_BACKENDS) == [chain.opened[0].get_server_pid()]

            await eventually(the_projector_waits)
            await connection.execute("select pg_terminate_backend($1)", chain.opened[0].get_server_pid())
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
                await step
        assert await projected(connection) == {FOREIGN: 1}
        await chain.drain(projector)
        assert len(chain.opened) == 2
    assert await projected(connection) == {FOREIGN: 2}
    await assert_snapshots_are_true(connection)


async def test_lost_messages_are_made_up_for_by_the_next(chain: Chain) -> None:
    for event_id in range(1, 6):
        await append_foreign(chain.engine.connection, FOREIGN, foreign("node.done", event_id, step="s"))
    await chain.publish(without={(FOREIGN, 1), (FOREIGN, 3), (FOREIGN, 4)})
    async with chain.projector() as projector:
        await chain.drain(projector)
    assert await projected(chain.engine.connection) == {FOREIGN: 5}
    await assert_snapshots_are_true(chain.engine.connection)


async def test_a_message_that_cannot_be_read_is_an_incident_and_healed_from_the_log(chain: Chain) -> None:
    connection = chain.engine.connection
    await append_foreign(connection, FOREIGN, foreign("node.started", 1))
    await chain.publish(without={(FOREIGN, 1)})
    spoiled = OutgoingMessage(
        subject=event_subject(FOREIGN), payload=b"{", header_lines=b"Nats-Msg-Id: x\r\n"
    )
    await chain.stream.publish_one(spoiled)
    async with chain.projector() as projector:
        await chain.drain(projector)
    assert await projected(connection) == {FOREIGN: 1} == chain.announced
    incident = await connection.fetchrow("select kind, execution_id, subject from playlog.incident")
    assert tuple(incident or ()) == ("unreadable_message", FOREIGN, event_subject(FOREIGN))


@pytest.mark.parametrize("what", ["consumer", "stream"])
async def test_a_deleted_consumer_or_stream_is_made_again(chain: Chain, what: str) -> None:
    connection = chain.engine.connection
    await append_foreign(connection, FOREIGN, foreign("node.started", 1))
    await chain.publish()
    async with chain.projector() as projector:
        await chain.drain(projector)
        name = chain.stream.name
        subject = f"CONSUMER.DELETE.{name}.{DURABLE}" if what == "consumer" else f"STREAM.DELETE.{name}"
        await chain.stream.api(subject)

        async def a_pass_ends_well() -> None:
            try:
                await projector.step()
                await chain.waiting()
            except PlaylogError as error:
                raise AssertionError from error

        await eventually(a_pass_ends_well)
        await append_foreign(connection, FOREIGN, foreign("node.started", 2))
        await chain.publish()
        await chain.drain(projector)
    assert await projected(connection) == {FOREIGN: 2}


async def test_a_projector_gives_way_to_a_newer_build(chain: Chain) -> None:
    connection = chain.engine.connection
    await append_foreign(connection, FOREIGN, foreign("node.started", 1))
    await chain.publish()
    async with chain.projector() as projector:
        await chain.drain(projector)
        await connection.execute("update playlog.snapshot set fold_version = $1", FOLD_VERSION + 1)
        await append_foreign(connection, FOREIGN, foreign("node.started", 2))
        await chain.publish()
        assert await projector.step() > 0
        assert await projector.fault() == "superseded: a newer build folds these executions"
        assert await projector.step() > 0
    assert sum(await chain.waiting()) == 1
    assert await projected(connection) == {FOREIGN: 1}
