"""What a concurrency key costs, and what a backlog on one key costs itself and the others."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from bench.figures import show
from bench.installation import temporary_home
from engine.language import parse
from engine.runtime.database import checkout, connect, open_pool
from engine.runtime.embedded import EmbeddedPostgres
from engine.runtime.settings import DatabaseSettings
from engine.write import catalog, commands
from engine.write.commands import Claimed, Lease, Result
from engine.write.desk import Desk, open_desk
from engine.write.executions import Checkout, StartOrder, start
from sql.runner import migrate

FEW = 100
ROUNDS = 5
PLAIN = "{playbook: bench/plain, steps: [{name: a, tool: noop}]}"
KEYED = """
playbook: bench/keyed
inputs: {key: {type: string}}
steps: [{name: a, tool: noop, concurrency: {key: inputs.key, limit: 1}}]
"""
BUSY, OTHER = "busy", "other"
FILL = """
insert into playlog.command (command_id, execution_id, step, attempt, tool, pool, state, input,
    timeout_seconds, available_at, concurrency_key, concurrency_limit)
select n, n, 'a', 1, 'noop', 'default', 'held', '{}', 60, clock_timestamp(), 'bench/keyed:busy', 1
from generate_series(1, $1::integer) n
"""
BACK_IN_LINE = "update playlog.command set state = 'held', permitted = false where state = 'pending'"
WAITING = "select count(*) from playlog.command where state = 'held'"


@dataclass(frozen=True, slots=True)
class Bench:
    """The write side of one database, in which so many commands wait for one key."""

    desk: Desk
    borrow: Checkout
    database: asyncpg.Connection
    waiting: int

    async def turns(self, playbook: str, key: str | None, count: int) -> float:
        """Milliseconds to start an execution, settle the one before it, and claim what that has freed.

        Those started here go before the backlog, and each but the first has to wait for its turn.
        """
        held = await self._turn(playbook, key, None)
        began = time.perf_counter()
        for _ in range(count):
            held = await self._turn(playbook, key, held)
        taken = (time.perf_counter() - began) / count * 1000
        await self._settle(held)
        await self.database.execute(BACK_IN_LINE)
        return taken

    async def _turn(self, playbook: str, key: str | None, held: Claimed | None) -> Claimed:
        inputs = {} if key is None else {"key": key}
        order = StartOrder(playbook=playbook, inputs=inputs, priority=100)
        started = await start(self.borrow, self.desk.appender, self.desk.definitions, order)
        if held is not None:
            await self._settle(held)
        async with self.borrow() as connection:
            claimed = await commands.claim(
                connection, worker_id="bench", pool="default", limit=2, lease_seconds=60
            )
        if [each.execution_id for each in claimed] != [started.execution_id]:
            raise AssertionError(f"{len(claimed)} commands were handed out instead of the one started")
        return claimed[0]

    async def _settle(self, held: Claimed) -> None:
        lease = Lease(held.command_id, held.lease_token)
        result = Result(lease=lease, succeeded=True, value=None, execution_id=held.execution_id)
        await commands.settle_owned(self.desk.appender, "bench", [result], {})

    async def fill(self) -> None:
        """Make the backlog, as it is after a vacuum."""
        await self.database.execute(FILL, self.waiting)
        await self.database.execute("vacuum analyze playlog.command")

    async def check(self) -> None:
        """Raise AssertionError unless exactly the backlog waits."""
        waiting = await self.database.fetchval(WAITING)
        if waiting != self.waiting:
            raise AssertionError(f"{waiting} commands wait instead of {self.waiting}")


async def run(*, quick: bool) -> None:
    """Print what a turn takes without a key, with one, and beside and in a short and a long line."""
    many, count = (100_000, 40) if quick else (1_000_000, 200)
    async with (
        temporary_server() as server,
        opened(server, "short_line", FEW) as short,
        opened(server, "long_line", many) as long,
    ):
        await _measure(short, long, count)
        for bench in (short, long):
            await bench.check()


async def _measure(few: Bench, many: Bench, count: int) -> None:
    for bench in (few, many):
        await bench.turns("bench/plain", None, count)
        await bench.fill()
    plain, short, long, beside_short, beside_long = [], [], [], [], []
    for _ in range(ROUNDS):
        plain.append(await few.turns("bench/plain", None, count))
        beside_short.append(await few.turns("bench/keyed", OTHER, count))
        beside_long.append(await many.turns("bench/keyed", OTHER, count))
    for _ in range(ROUNDS):
        short.append(await few.turns("bench/keyed", BUSY, count))
        long.append(await many.turns("bench/keyed", BUSY, count))
    show("concurrency.without_key", plain, "ms/turn")
    show("concurrency.beside_short_line", beside_short, "ms/turn", ratio_to=statistics.median(plain))
    show("concurrency.beside_long_line", beside_long, "ms/turn", ratio_to=statistics.median(beside_short))
    show("concurrency.in_short_line", short, "ms/turn", ratio_to=statistics.median(beside_short))
    show("concurrency.in_long_line", long, "ms/turn", ratio_to=statistics.median(short))


@contextlib.asynccontextmanager
async def temporary_server() -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL in a temporary home."""
    with temporary_home() as home:
        server = EmbeddedPostgres(home)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@contextlib.asynccontextmanager
async def opened(server: EmbeddedPostgres, name: str, waiting: int) -> AsyncIterator[Bench]:
    """The write side on a database of its own, with the playbooks."""
    superuser = await asyncpg.connect(server.superuser_url, timeout=10)
    await superuser.execute(f"create database {name} owner playlog")
    await superuser.close()
    url = server.url_of("playlog", name)
    await migrate(url)
    settings = DatabaseSettings(database_url=url)
    async with contextlib.AsyncExitStack() as stack:
        database = await asyncpg.connect(url, timeout=10, command_timeout=600)
        stack.push_async_callback(database.close)
        pool = await open_pool(settings, size=2)
        stack.push_async_callback(pool.close)

        def borrow() -> contextlib.AbstractAsyncContextManager[asyncpg.Connection]:
            return checkout(pool)

        desk = open_desk(lambda: connect(settings), borrow, lambda _, __: None)
        bench = Bench(await stack.enter_async_context(desk), borrow, database, waiting)
        for source in (PLAIN, KEYED):
            await catalog.register(database, parse(source.encode()), source)
        yield bench
