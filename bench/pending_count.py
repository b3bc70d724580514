"""Counting and claiming over HTTP while very many messages wait, against `count(*)` and a short queue."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass

import aiohttp
import asyncpg

from bench.figures import percentile, show
from bench.installation import temporary_home
from engine.runtime import logs
from engine.runtime.broker import Broker
from engine.runtime.database import open_pool
from engine.runtime.embedded import EmbeddedPostgres
from engine.runtime.health import Health
from engine.runtime.http import serve
from engine.runtime.settings import BrokerSettings, DatabaseSettings, HttpSettings
from engine.write import outbox
from internal_api.app import build_app
from internal_api.process import open_api
from internal_api.tokens import Tokens
from sql.runner import migrate

TOKEN = "bench"
NO_BROKER = "nats://127.0.0.1:9"
FEW = 10_000
CLAIMED = 100
TOLERANCE = 0.1
"""Of the median of all estimates; a single one, of a sample of 500 pages, may be five times as far off."""
FILL = """
insert into playlog.outbox (shard, execution_id, first_version, last_version, event_id, subject, payload)
select n & 15, n, 1, 1, n, 'playlog.events.' || (n & 15) || '.' || n, repeat('x', 400)
from generate_series(1, $1::bigint) as n
"""
LEASE_OLDEST = """
update playlog.outbox
set attempts = 1, lease_token = 1, leased_until = clock_timestamp() + interval '1 hour'
where outbox_id in (select outbox_id from playlog.outbox where attempts = 0 order by outbox_id limit $1)
"""
PARK_OLDEST = """
update playlog.outbox
set attempts = 1, first_failed_at = clock_timestamp(), available_at = clock_timestamp() + interval '1 hour'
where outbox_id in (select outbox_id from playlog.outbox where attempts = 0 order by outbox_id limit $1)
"""
DELETE_OLDEST = """
delete from playlog.outbox
where outbox_id in (select outbox_id from playlog.outbox order by outbox_id limit $1)
"""
COUNT = "select count(*) from playlog.outbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many messages are due, leased and parked."""

    pending: int
    in_flight: int = 0
    parked: int = 0


@dataclass(frozen=True, slots=True)
class Bench:
    """The internal API over HTTP, and connections to its database and to one with a short queue."""

    session: aiohttp.ClientSession
    database: asyncpg.Connection
    short: asyncpg.Connection
    rounds: int

    async def show(self, name: str, waiting: Waiting) -> None:
        """Print what counting and claiming take; what they are compared with runs in between."""
        counts, everything, found = [], [], []
        for number in range(self.rounds):
            began = time.perf_counter()
            found.append(await self._count())
            counts.append((time.perf_counter() - began) * 1000)
            _check(found[-1:], waiting, 5 * TOLERANCE)
            if number % (self.rounds // 5) == 0:
                everything.append(await self._count_everything(waiting))
        _check(found, waiting, TOLERANCE)
        show(f"pending_count.{name}", counts, "ms", ratio_to=statistics.median(everything))
        show(f"pending_count.{name}.p99", [percentile(counts, 0.99)], "ms")
        show(f"pending_count.{name}.count_all", everything, "ms")
        claims = [(await _claim(self.short), await _claim(self.database)) for _ in range(self.rounds)]
        short, long = zip(*claims, strict=True)
        show(f"claim.{name}.short_queue", short, "ms")
        show(f"claim.{name}", long, "ms", ratio_to=statistics.median(short))

    async def _count(self) -> dict[str, int]:
        async with self.session.get("/api/internal/outbox/pending-count") as response:
            counted: dict[str, int] = await response.json()
            return counted

    async def _count_everything(self, waiting: Waiting) -> float:
        began = time.perf_counter()
        found = await self.database.fetchval(COUNT)
        if found != waiting.pending + waiting.in_flight + waiting.parked:
            raise AssertionError(f"{found} messages instead of {waiting}")
        return (time.perf_counter() - began) * 1000

    async def fill(self, number: int) -> None:
        """Begin anew with so many messages, all due."""
        await self.database.execute("truncate playlog.outbox")
        await self.change(FILL, number)

    async def change(self, statement: str, number: int) -> None:
        """Change so many messages, and have the statistics that autovacuum makes within a minute."""
        await self.database.execute(statement, number)
        await self.database.execute("analyze playlog.outbox")


async def _claim(database: asyncpg.Connection) -> float:
    """Milliseconds of what the claim route does, undone afterwards."""
    transaction = database.transaction()
    await transaction.start()
    try:
        began = time.perf_counter()
        claimed = await outbox.claim(database, CLAIMED)
        taken = (time.perf_counter() - began) * 1000
    finally:
        await transaction.rollback()
    if len({message.execution_id for message in claimed}) != CLAIMED:
        raise AssertionError(f"{len(claimed)} messages were claimed")
    return taken


def _check(found: Sequence[dict[str, int]], waiting: Waiting, tolerance: float) -> None:
    """Raise AssertionError where the median of some answers is wrong: exact up to 10,000, near above."""
    for kind, expected in asdict(waiting).items():
        counted = statistics.median(each[kind] for each in found)
        if abs(counted - expected) > (expected * tolerance if expected > FEW else 0):
            raise AssertionError(f"{kind}: {counted} instead of {expected}")
    if any(each["estimated"] != (max(asdict(waiting).values()) > FEW) for each in found):
        raise AssertionError(f"estimated is wrong for {waiting}")


async def run(*, quick: bool) -> None:
    """Print what a count and a claim cost: all new, a fifth leased, a fifth parked, after many deletes."""
    many, rounds = (100_000, 60) if quick else (1_000_000, 300)
    held = many // 5
    async with serving(rounds) as bench:
        await bench.fill(FEW)
        await bench.show("few", Waiting(pending=FEW))
        await bench.fill(many)
        await bench.show("many", Waiting(pending=many))
        await bench.change(LEASE_OLDEST, held)
        await bench.show("leased", Waiting(pending=many - held, in_flight=held))
        await bench.fill(many)
        await bench.change(PARK_OLDEST, held)
        await bench.show("parked", Waiting(pending=many - held, parked=held))
        await bench.fill(many)
        await bench.change(FILL, many)
        await bench.change(DELETE_OLDEST, many)
        await bench.show("deleted", Waiting(pending=many))


@contextlib.asynccontextmanager
async def serving(rounds: int) -> AsyncIterator[Bench]:
    """An internal API on an own PostgreSQL, without a broker and so without anybody who publishes."""
    logs.configure("bench", level="critical")
    async with contextlib.AsyncExitStack() as stack:
        server = EmbeddedPostgres(stack.enter_context(temporary_home()))
        await server.start()
        stack.push_async_callback(server.stop)
        database = await _migrated(server.url, stack)
        short = await _short_queue(server, stack)
        settings = DatabaseSettings(database_url=server.url)
        pool = await open_pool(settings, size=4)
        stack.push_async_callback(pool.close)
        broker = Broker(BrokerSettings(nats_url=NO_BROKER))
        stack.push_async_callback(broker.close)
        await broker.connect(wait_seconds=0)
        api = await stack.enter_async_context(open_api(settings, pool, broker))
        http = await serve(build_app(api, Tokens(TOKEN, None), Health(), HttpSettings()), 0)
        stack.push_async_callback(http.close)
        session = aiohttp.ClientSession(
            f"http://127.0.0.1:{http.port}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        await stack.enter_async_context(session)
        yield Bench(session, database, short, rounds)


async def _short_queue(server: EmbeddedPostgres, stack: contextlib.AsyncExitStack) -> asyncpg.Connection:
    """Another database of the server, in which few messages wait."""
    superuser = await asyncpg.connect(server.superuser_url, timeout=10, command_timeout=60)
    await superuser.execute("create database short_queue owner playlog")
    await superuser.close()
    connection = await _migrated(server.url_of("playlog", "short_queue"), stack)
    await connection.execute(FILL, FEW)
    await connection.execute("analyze playlog.outbox")
    return connection


async def _migrated(url: str, stack: contextlib.AsyncExitStack) -> asyncpg.Connection:
    await migrate(url)
    connection = await asyncpg.connect(url, timeout=10, command_timeout=600)
    stack.push_async_callback(connection.close)
    return connection
