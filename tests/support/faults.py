"""Faults on a whole installation, and waiting until it has recovered."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator

import asyncpg
import orjson

from bench.installation import Installation
from engine.domain.vocabulary import ExecutionStatus
from engine.runtime.settings import MEMORY
from tests.support.checker import check_log, check_outbox_is_empty, check_snapshots, check_stream
from tests.support.eventually import eventually
from tests.support.load import Load


async def kill(installation: Installation, role: str) -> None:
    """kill -9 a process, and wait until another has taken its place."""
    before = installation.engine.pids[role]
    os.kill(before, signal.SIGKILL)

    def replaced() -> None:
        assert installation.engine.pids.get(role, before) != before, role

    await eventually(replaced, timeout=30)


async def all_ended(installation: Installation, load: Load, seconds: float) -> None:
    """Wait until every acknowledged execution has ended, is published and is projected."""
    wanted = len(load.acknowledged)

    async def check() -> None:
        async with database(installation) as connection:
            ended = await connection.fetchval(
                "select count(*) from playlog.execution where ended_at is not null"
            )
            assert ended == wanted, f"{ended} of {wanted} have ended"
            await check_outbox_is_empty(connection)
            behind = await connection.fetchval(
                "select count(*) from playlog.execution e left join playlog.snapshot s using (execution_id)"
                " where s.version is distinct from e.version"
            )
            assert behind == 0, f"{behind} snapshots are behind"

    await eventually(check, timeout=seconds)


async def one_story(installation: Installation, load: Load) -> None:
    """Log, outbox, stream, snapshots and what was acknowledged agree, and the outputs are the real ones."""
    async with database(installation) as connection:
        story = await check_log(connection)
        await check_outbox_is_empty(connection)
        await check_snapshots(connection, story)
        if installation.engine.servers.nats_url != MEMORY:
            await check_stream(installation.engine.servers.nats_url, story)
        assert set(story.heads) == set(load.acknowledged.values())
        rows = await connection.fetch(
            "select e.execution_id, e.event_type, e.payload from playlog.event e join playlog.execution x"
            " on x.execution_id = e.execution_id where e.event_type like 'execution.%' and e.version > 1"
        )
        outcomes = {row["execution_id"]: (row["event_type"], orjson.loads(row["payload"])) for row in rows}
        for n, execution_id in load.acknowledged.items():
            kind, payload = outcomes[execution_id]
            assert kind == f"execution.{ExecutionStatus.COMPLETED}", (n, payload)
            assert payload["output"] == {"n": n, "said": f"{n}\n"}


@contextlib.asynccontextmanager
async def database(installation: Installation) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the moment, because a fault may have ended the last one."""
    try:
        connection = await asyncpg.connect(
            installation.engine.servers.database_url, timeout=10, command_timeout=30
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise AssertionError("the database is away") from error
    try:
        yield connection
    finally:
        await connection.close()
