"""The write side alone: an own PostgreSQL, an intake with two writers, and a look at what it wrote."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from bench.events import Batch
from bench.installation import temporary_home
from engine.runtime.database import Connection, checkout, connect, open_pool
from engine.runtime.embedded import EmbeddedPostgres
from engine.runtime.garbage import collect_less_often
from engine.runtime.settings import DatabaseSettings
from engine.write.desk import WRITERS, open_desk
from engine.write.materialize import Intake, Materialized
from sql.runner import migrate

BROKEN = """
select e.execution_id from playlog.execution e
left join (
    select execution_id, count(*) events, max(version) newest, count(distinct event_id) ids
    from playlog.event group by execution_id
) l using (execution_id)
left join (
    select execution_id, sum(last_version - first_version + 1) covered, max(last_version) newest,
        min(first_version) oldest
    from playlog.outbox group by execution_id
) o using (execution_id)
where (l.events, l.newest, l.ids, o.covered, o.newest, o.oldest)
    is distinct from (e.version, e.version, e.version, e.version, e.version, 1)
"""
STANDING = "select (select count(*) from playlog.event), (select count(*) from playlog.outbox)"
CONTENT = """
select (select sum(hashtext(e::text)) from playlog.event e), (select sum(outbox_id) from playlog.outbox)
"""

PRODUCERS = 2
"""So many a writer: the next batch is there when the writer has committed the last one."""

Take = Callable[[Batch], Awaitable[Materialized]]


class Standing(NamedTuple):
    """How many rows there are."""

    events: int
    outbox: int


@dataclass(frozen=True, slots=True)
class WriteSide:
    """An intake as the internal API has it, and a plain connection to look at what it wrote."""

    url: str
    intake: Intake
    connection: asyncpg.Connection

    async def standing(self) -> Standing:
        """How many rows log and outbox have.

        Raises AssertionError for versions with gaps, or that the outbox does not cover exactly once.
        """
        broken = await self.connection.fetch(BROKEN)
        if broken:
            raise AssertionError(f"the log or the outbox of {len(broken)} executions is not whole")
        (counts,) = await self.connection.fetch(STANDING)
        return Standing(*counts)

    async def content(self) -> tuple[object, ...]:
        """A sum over everything in the log, and which messages wait."""
        (sums,) = await self.connection.fetch(CONTENT)
        return tuple(sums)


@contextlib.asynccontextmanager
async def write_side() -> AsyncIterator[WriteSide]:
    """Start a database of its own in a temporary home and open the write side on it."""
    with temporary_home() as home:
        server = EmbeddedPostgres(home)
        await server.start()
        connection: asyncpg.Connection | None = None
        try:
            await migrate(server.url)
            connection = await asyncpg.connect(server.url, timeout=10, command_timeout=120)
            async with an_intake(server.url) as intake:
                yield WriteSide(server.url, intake, connection)
        finally:
            if connection is not None:
                await connection.close()
            await server.stop()


@contextlib.asynccontextmanager
async def an_intake(url: str, writers: int = WRITERS) -> AsyncIterator[Intake]:
    """An intake that remembers nothing yet, in a process that is set up as those of the product."""
    collect_less_often()
    settings = DatabaseSettings(database_url=url)
    pool = await open_pool(settings)

    def borrow() -> AbstractAsyncContextManager[Connection]:
        return checkout(pool)

    try:
        desk = open_desk(lambda: connect(settings), borrow, lambda _, __: None, writers=writers)
        async with desk as opened:
            yield Intake(opened.appender, borrow)
    finally:
        await pool.close()


async def timed(takes: Iterable[Awaitable[object]]) -> float:
    """Seconds that all of these take together; what exists before is no work for the garbage collector."""
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    await asyncio.gather(*takes)
    return time.perf_counter() - began


async def produce(take: Take, batches: Sequence[Batch], *, duplicates: bool = False) -> None:
    """Send batches one after the other; all their events must be new, or all be duplicates."""
    for batch in batches:
        answer = await take(batch)
        expected = (0, len(batch)) if duplicates else (len(batch), 0)
        if (answer.materialized, answer.duplicates) != expected or answer.rejected:
            raise AssertionError(f"{expected} new and repeated events were expected: {answer}")


def lanes() -> range:
    """The producers, in the order of their writers: 0, 1, 0, 1."""
    return range(PRODUCERS * WRITERS)
