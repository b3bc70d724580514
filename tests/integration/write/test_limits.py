"""What one transaction and one message may hold, and what a request that hangs does to the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from engine.domain.admit import Origin
from engine.domain.events import NewEvent
from engine.domain.ids import first_id_at
from engine.domain.json_values import Unstorable
from engine.domain.messages import MESSAGE_BYTES
from engine.domain.vocabulary import EventType
from engine.errors import Misconfigured, Unavailable
from engine.write.append import Context, append
from engine.write.executions import engine_event
from engine.write.horizon import Horizon
from engine.write.requests import Committed, Outcome, Request
from engine.write.tickets import GROUP_BYTES
from engine.write.writer import appending
from tests.support.engine import Engine
from tests.support.servers import Connection

HEADS = """
insert into playlog.execution (execution_id, version, recorded_at, status)
select id, 0, clock_timestamp(), 'running' from generate_series(1, 32) as id
"""
LATER_CLOCK = """
create function public.clock_timestamp() returns timestamptz language sql
return pg_catalog.clock_timestamp() + interval '30 days';
set search_path = public, pg_catalog;
"""
TWO = """
playbook: t/two
steps:
  - {name: a, tool: noop}
  - {name: b, tool: noop}
"""


def note(execution_id: int, number: int = 1, text: str = "") -> Request:
    event = NewEvent(event_type="order.noted", status="RUNNING", event_id=number, payload=text)
    return Request(execution_id=execution_id, events=(event,))


async def test_a_batch_of_tiny_events_becomes_messages_that_nats_takes(connection: Connection) -> None:
    await connection.execute(HEADS)
    events = tuple(
        NewEvent(event_type="order.noted", status="RUNNING", event_id=number, payload=number)
        for number in range(1, 10_001)
    )
    await append(connection, [Request(execution_id=1, events=events)], Context())
    rows = await connection.fetch(
        "select first_version, last_version, octet_length(payload) as size from playlog.outbox"
        " order by first_version"
    )
    assert max(row["size"] for row in rows) <= MESSAGE_BYTES
    assert len(rows) < 12
    ends = [0, *(row["last_version"] for row in rows)]
    assert [row["first_version"] for row in rows] == [end + 1 for end in ends[:-1]]
    assert ends[-1] == 10_000


async def test_a_group_holds_at_most_4_mib(engine: Engine, database_url: str) -> None:
    await engine.connection.execute(HEADS)
    committed: list[Committed] = []
    async with appending(lambda: asyncpg.connect(database_url), committed.append, 1) as appender:
        await appender.submit_all([note(execution_id, text="x" * 200_000) for execution_id in range(1, 33)])
    most = GROUP_BYTES // 200_004
    assert [len(group.versions) for group in committed] == [most, 32 - most]


async def test_a_request_that_hangs_does_not_take_its_group_along(
    connection: Connection, database_url: str
) -> None:
    await connection.execute(HEADS)
    committed: list[Committed] = []
    async with (
        appending(
            lambda: asyncpg.connect(database_url, command_timeout=0.3), committed.append, 1
        ) as appender,
        connection.transaction(),
    ):
        await connection.execute("select 1 from playlog.execution where execution_id = 5 for update")
        answers = await appender.submit_each([note(execution_id) for execution_id in range(1, 9)])
    failed = [number for number, answer in enumerate(answers, 1) if not isinstance(answer, Outcome)]
    assert failed == [5]
    assert getattr(answers[4], "code", None) == "database_busy"


async def test_a_database_that_refuses_the_writer_is_away_for_the_whole_group(
    connection: Connection, database_url: str
) -> None:
    await connection.execute(HEADS)
    refusals = [Misconfigured("no such database")]

    async def connect() -> asyncpg.Connection:
        if refusals:
            raise refusals.pop()
        return await asyncpg.connect(database_url)

    requests = [note(execution_id) for execution_id in range(1, 9)]
    async with appending(connect, lambda _: None, 1) as appender:
        answers = await appender.submit_each(requests)
        assert [getattr(answer, "code", None) for answer in answers] == ["database_away"] * 8
        assert all(isinstance(answer, Unavailable) for answer in answers)
        assert len(await appender.submit_all(requests)) == 8


async def test_ids_are_judged_by_the_clock_of_the_database(connection: Connection) -> None:
    horizon = Horizon()
    now = datetime.now(UTC)
    await horizon.read(connection)
    horizon.check(first_id_at(now + timedelta(hours=23)))
    with pytest.raises(Unstorable, match="id_out_of_range"):
        horizon.check(first_id_at(now + timedelta(days=30)))
    await connection.execute(LATER_CLOCK)
    await horizon.read(connection)
    horizon.check(first_id_at(now + timedelta(days=30)))


async def test_a_value_is_remembered_for_longer_than_the_next_append(engine: Engine) -> None:
    await engine.register(TWO)
    execution_id = await engine.start("t/two")
    context = Context()
    for number in (1, 2, 3):
        event = engine_event(EventType.SIGNAL_RECEIVED, {"name": "go", "data": number}, event_id=number)
        request = Request(execution_id=execution_id, events=(event,), origin=Origin.ENGINE)
        await append(engine.connection, [request], context)
    known = context.cache.take(execution_id)
    assert known is not None
    assert sorted(known.values) == [3, 4, 5]
