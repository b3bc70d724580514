"""Attempts are told whatever became of them, and whatever producers wrote."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from engine.write import executions
from tests.support.engine import running_engine

if TYPE_CHECKING:
    from tests.support.servers import Connection

TWO = "{playbook: t/both, steps: [{name: a, tool: noop}, {name: b, needs: [], tool: noop}]}"
ATTEMPTS = "select step, status, worker, ended_at is null as is_open from playlog.v_attempt order by step"


async def test_an_open_attempt_is_told_from_the_queue_and_is_cancelled_with_its_execution(
    database_url: str,
) -> None:
    async with running_engine(database_url) as engine:
        await engine.register(TWO)
        execution_id = await engine.start("t/both")
        await engine.claim(1)
        assert {tuple(row)[1:] for row in await engine.connection.fetch(ATTEMPTS)} == {
            *(("queued", None, True), ("running", "w1", True)),
        }
        await executions.cancel(engine.appender, execution_id)
        rows = await engine.connection.fetch(ATTEMPTS)
        assert [tuple(row) for row in rows] == [
            ("a", "cancelled", None, False),
            ("b", "cancelled", None, False),
        ]
        await engine.connection.execute("delete from playlog.command")
        assert [row["status"] for row in await engine.connection.fetch(ATTEMPTS)] == ["cancelled"] * 2


async def test_a_time_that_a_producer_wrote_never_fails(connection: Connection) -> None:
    await connection.execute("set timezone = 'Europe/Berlin'")
    wrong = ("", "soon", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00")
    for text in wrong:
        assert await connection.fetchval("select playlog.moment_of($1)", text) is None
    for text in ("2026-03-30T01:30:00.123456Z", "2024-02-29T23:59:59+14:00", "2026-12-31T00:00:00-00:30"):
        found = await connection.fetchval("select playlog.moment_of($1)", text)
        assert found == datetime.fromisoformat(text)
    found = await connection.fetchval("select playlog.moment_of('2026-02-30T00:00:00Z')")
    assert found == datetime.fromisoformat("2026-03-02T00:00:00Z")
