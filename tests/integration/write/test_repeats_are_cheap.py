"""P2: what only repeats is answered by one look at the log: no state is loaded, nothing is written."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from engine.errors import Unavailable
from engine.runtime.database import checkout
from engine.write.materialize import Intake
from engine.write.writer import appending
from sql import queries
from tests.support.engine import Engine
from tests.support.eventually import eventually

ROWS: list[dict[str, Any]] = [
    {"execution_id": execution_id, "event_id": number, "event_type": "x", "result": {"a": 1, "b": [number]}}
    for execution_id in (4711, 4712)
    for number in range(1, 21)
]
LOG = "select * from playlog.event order by execution_id, version"
OUTBOX = "select * from playlog.outbox order by outbox_id"
WAITS = (
    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
)
FORGET = (
    "alter table playlog.event disable trigger user",
    "delete from playlog.event where execution_id = 4711",
    "alter table playlog.event enable trigger user",
    "delete from playlog.execution where execution_id = 4711",
)


class Watched(asyncpg.Connection):
    """Remembers every statement."""

    said: list[str]

    async def execute(self, query: str, *args: Any, **more: Any) -> str:
        self.said.append(query)
        return await super().execute(query, *args, **more)

    async def fetch(  # type: ignore[override]
        self, query: str, *args: Any, **more: Any
    ) -> list[asyncpg.Record]:
        self.said.append(query)
        return await super().fetch(query, *args, **more)

    async def fetchval(self, query: str, *args: Any, **more: Any) -> Any:
        self.said.append(query)
        return await super().fetchval(query, *args, **more)


def reordered(row: dict[str, Any]) -> dict[str, Any]:
    """The same row with the keys of its objects in another order."""
    result = dict(reversed(row["result"].items()))
    return dict(reversed((row | {"result": result}).items()))


async def test_a_process_that_knows_nothing_answers_repeats_with_a_look_at_heads_and_ids(
    engine: Engine, database_url: str, pool: asyncpg.Pool
) -> None:
    first = Intake(engine.appender, lambda: checkout(pool))
    assert (await first.project(ROWS)).materialized == len(ROWS)
    before = await engine.connection.fetch(LOG), await engine.connection.fetch(OUTBOX)
    said: list[str] = []
    kind = type("WatchedHere", (Watched,), {"said": said})
    async with appending(
        lambda: asyncpg.connect(database_url, connection_class=kind, timeout=10, command_timeout=30),
        lambda _: None,
        1,
    ) as appender:
        answer = await Intake(appender, lambda: checkout(pool)).project([reordered(row) for row in ROWS])
    assert (answer.duplicates, answer.materialized, answer.rejected) == (len(ROWS), 0, [])
    assert answer.versions == {4711: 20, 4712: 20}
    assert (await engine.connection.fetch(LOG), await engine.connection.fetch(OUTBOX)) == before
    append = queries.load("append")
    assert said == ["BEGIN;", append.lock_heads, append.probe, "ROLLBACK;"]


async def test_one_new_event_among_repeats_is_recorded_and_a_changed_one_is_a_conflict(
    engine: Engine, pool: asyncpg.Pool
) -> None:
    intake = Intake(engine.appender, lambda: checkout(pool))
    await intake.project(ROWS)
    changed = ROWS[3] | {"result": {"a": 2}}
    answer = await intake.project([*ROWS[:3], changed, *ROWS[4:20], ROWS[0] | {"event_id": 99}])
    assert (answer.materialized, answer.duplicates) == (1, 19)
    assert [(refused.index, refused.code) for refused in answer.rejected] == [(3, "conflict")]
    assert answer.versions == {4711: 21}


async def test_events_for_an_execution_that_has_vanished_are_never_refused_for_good(
    engine: Engine, pool: asyncpg.Pool
) -> None:
    intake = Intake(engine.appender, lambda: checkout(pool))
    await intake.project(ROWS)
    for statement in FORGET:
        await engine.connection.execute(statement)
    with pytest.raises(Unavailable) as gone:
        await intake.project(ROWS)
    assert gone.value.data["landed"] == list(range(20, 40))
    again = await intake.project(ROWS)
    assert (again.materialized, again.duplicates, again.versions) == (20, 20, {4711: 20, 4712: 20})


async def test_an_event_is_as_old_as_the_lock_it_waited_for(
    engine: Engine, connection: asyncpg.Connection, pool: asyncpg.Pool
) -> None:
    async def blocked() -> None:
        assert await engine.connection.fetchval(WAITS)

    intake = Intake(engine.appender, lambda: checkout(pool))
    await intake.project(ROWS)
    async with connection.transaction():
        await connection.execute("select from playlog.execution where execution_id = 4711 for update")
        waiting = asyncio.create_task(intake.project([ROWS[0] | {"event_id": 99}]))
        await eventually(blocked)
        released = await connection.fetchval("select clock_timestamp()")
    await waiting
    assert (await engine.log(4711))[-1].recorded_at >= released
