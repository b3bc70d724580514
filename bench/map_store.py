"""Items and rounds on a database: settled in batches as workers do, and projected message by message."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import asyncpg

from bench.installation import temporary_home
from engine.language import parse
from engine.read.cache import StateCache
from engine.read.messages import parse_message
from engine.read.projection import project
from engine.runtime.embedded import EmbeddedPostgres
from engine.runtime.garbage import collect_less_often
from engine.write import catalog, commands, executions
from engine.write.commands import Lease, Result
from engine.write.definitions import Definitions
from engine.write.writer import Appender, appending
from sql.runner import migrate

WORKER = "bench"
STATE_BYTES = 32 * 1024
OUTCOMES = """
select count(*) filter (where event_type = 'command.completed') as outcomes,
    count(distinct command_id) as commands,
    (select status from playlog.execution where execution_id = $1)
from playlog.event where execution_id = $1 and command_id is not null
"""
MESSAGES = "select payload from playlog.outbox where execution_id = $1 order by outbox_id"
SNAPSHOT = "select octet_length(state::text) as size from playlog.snapshot where execution_id = $1"
PROJECTED = "select status from playlog.snapshot where execution_id = $1"


@dataclass(slots=True)
class Store:
    """A write side with one writer, and a connection for everything else."""

    appender: Appender
    connection: asyncpg.Connection
    definitions: Definitions = field(default_factory=Definitions)
    largest: int = 0

    async def start(self, pool: str, inputs: dict[str, object]) -> tuple[int, float]:
        """Start an execution of the playbook of a pool; returns its id and the seconds that took."""
        order = executions.StartOrder(playbook=f"bench/{pool}", inputs=inputs)

        def borrow() -> contextlib.AbstractAsyncContextManager[asyncpg.Connection]:
            return contextlib.nullcontext(self.connection)

        began = time.perf_counter()
        standing = await executions.start(borrow, self.appender, self.definitions, order)
        return standing.execution_id, time.perf_counter() - began

    async def work(self, pool: str, batch: int, count: int, done: int) -> float:
        """Complete so many commands of a pool, in batches; returns the seconds that settling took."""
        seconds = 0.0
        for _ in range(count // batch):
            claimed = await commands.claim(
                self.connection, worker_id=WORKER, pool=pool, limit=batch, lease_seconds=60
            )
            if len(claimed) != batch:
                raise AssertionError(f"{batch} commands were expected, not {len(claimed)}")
            results = []
            for command in claimed:
                done += 1
                lease = Lease(command.command_id, command.lease_token)
                results.append(Result(lease=lease, succeeded=True, value=done))
            began = time.perf_counter()
            await commands.settle(self.connection, self.appender, WORKER, results)
            seconds += time.perf_counter() - began
        return seconds

    async def check(self, execution_id: int, length: int) -> None:
        """Raise AssertionError unless so many commands have one outcome each and the execution completed."""
        found = await self.connection.fetchrow(OUTCOMES, execution_id)
        if found is None or tuple(found) != (length, length, "completed"):
            raise AssertionError(f"{length} outcomes were expected: {found}")

    async def projecting(self, execution_id: int, messages: int) -> AsyncIterator[float]:
        """Project an execution message by message; yields the seconds of so many of them each time."""
        bodies = [row["payload"].encode() for row in await self.connection.fetch(MESSAGES, execution_id)]
        cache = StateCache()
        for begin in range(0, len(bodies), messages):
            began = time.perf_counter()
            for body in bodies[begin : begin + messages]:
                await project(self.connection, [parse_message(body)], cache)
            seconds = time.perf_counter() - began
            self.largest = max(self.largest, await self.connection.fetchval(SNAPSHOT, execution_id))
            yield seconds

    async def check_snapshot(self, execution_id: int) -> int:
        """The largest snapshot seen, in bytes; raises AssertionError beyond 32 KiB, or before the end."""
        status = await self.connection.fetchval(PROJECTED, execution_id)
        if status != "completed" or self.largest > STATE_BYTES:
            raise AssertionError(f"the snapshot of {execution_id} is {status}, one had {self.largest} bytes")
        return self.largest


@contextlib.asynccontextmanager
async def store(sources: Iterable[str]) -> AsyncIterator[Store]:
    """Start a database of its own in a temporary home, with these playbooks."""
    with temporary_home() as home:
        server = EmbeddedPostgres(home)
        await server.start()
        try:
            await migrate(server.url)
            async with _opened(server.url, sources) as opened:
                yield opened
        finally:
            await server.stop()


@contextlib.asynccontextmanager
async def _opened(url: str, sources: Iterable[str]) -> AsyncIterator[Store]:
    collect_less_often()

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(url, timeout=10, command_timeout=120)

    connection = await connect()
    try:
        for source in sources:
            await catalog.register(connection, parse(source.encode()), source)
        async with appending(connect, lambda _: None, 1) as appender:
            yield Store(appender, connection)
    finally:
        await connection.close()
