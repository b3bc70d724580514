"""A batch that lands only in part says so, and an error nobody foresaw stays with its own execution."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from engine.domain.ids import first_id_at
from engine.domain.snapshot import FOLD_VERSION
from engine.errors import Unavailable
from engine.runtime.database import checkout
from engine.write.materialize import Intake
from engine.write.writer import appending
from tests.support.engine import Engine

HEAD = """
insert into playlog.execution (execution_id, version, recorded_at, status)
values (4711, 1, clock_timestamp(), 'running')
"""
UNREADABLE = """
insert into playlog.snapshot (execution_id, version, fold_version, hash, status, started_at, recorded_at,
    state)
values (4711, 1, $1, decode(repeat('00', 16), 'hex'), 'running', now(), now(), '{}')
"""


def row(execution_id: int) -> dict[str, Any]:
    return {"execution_id": execution_id, "event_id": 1, "event_type": "x"}


async def test_a_batch_of_which_a_part_could_not_be_tried_names_what_has_landed(
    database_url: str, pool: asyncpg.Pool
) -> None:
    refusing = asyncio.Event()

    async def connect() -> asyncpg.Connection:
        if refusing.is_set():
            raise Unavailable("away", code="database_away", retry_after=1)
        refusing.set()
        return await asyncpg.connect(database_url, timeout=10, command_timeout=30)

    rows = [row(execution_id) for execution_id in (4710, 4711, 4712)]
    async with appending(connect, lambda _: None, 2) as appender:
        intake = Intake(appender, lambda: checkout(pool))
        with pytest.raises(Unavailable) as away:
            await intake.project([*rows, {}])
        assert away.value.code == "database_away"
        landed = away.value.data["landed"]
        assert landed in ([0, 2], [1])
        assert away.value.data["materialized"] == len(landed)
        assert [refused["index"] for refused in away.value.data["rejected"]] == [3]
        refusing.clear()
        again = await intake.project(rows)
    assert (again.materialized, again.duplicates) == (3 - len(landed), len(landed))


async def test_an_execution_that_cannot_be_folded_is_rejected_alone(
    engine: Engine, pool: asyncpg.Pool
) -> None:
    intake = Intake(engine.appender, lambda: checkout(pool))
    await engine.connection.execute(HEAD)
    await engine.connection.execute(UNREADABLE, FOLD_VERSION)
    said: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: said.append(context["message"]))
    try:
        answer = await intake.project([row(4711), row(4712)])
    finally:
        loop.set_exception_handler(None)
    assert [(refused.index, refused.code) for refused in answer.rejected] == [(0, "internal_error")]
    assert (answer.materialized, said) == (1, ["an append failed"])


async def test_ids_begin_at_the_same_moments_in_python_and_in_sql(engine: Engine) -> None:
    for moment in (datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 11, 21, 5, 4, 3, 217_000, tzinfo=UTC)):
        assert await engine.value("select playlog.first_id_at($1)", moment) == first_id_at(moment)
