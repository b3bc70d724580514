"""What 1,000 requests that wait and 500 streams cost the database while nothing happens."""

from __future__ import annotations

import asyncio
import resource
import time

import aiohttp

from bench.figures import show
from bench.installation import Installation, installed, spent

WAITING = "{playbook: bench/waiting, steps: [{name: ask, wait: {event: answer, timeout: 1h}}]}"
WAITERS, STREAMS = 1_000, 500
WAIT_SECONDS = 10
CALLERS = 32
STATEMENTS = """
select sum(xact_commit + xact_rollback) from pg_stat_database where datname = current_database()
"""
FILES = 8_192


async def run(*, quick: bool) -> None:
    """Print transactions a second and the CPU of the public API, with nobody waiting and with all."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    seconds = 20 if quick else 60
    async with installed() as installation:
        await installation.client.register(WAITING)
        executions = await _started(installation)
        await asyncio.sleep(2 * WAIT_SECONDS)
        idle = await _rate(installation, seconds)
        show("waiting.idle", [idle], "transactions/s")
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            f"{installation.client.url}/api/v1/", connector=connector, timeout=timeout
        ) as session:
            tasks = [asyncio.create_task(_wait(session, each)) for each in executions]
            tasks += [asyncio.create_task(_listen(session, each)) for each in executions[:STREAMS]]
            await asyncio.sleep(2 * WAIT_SECONDS)
            before = installation.cpu_seconds()
            busy = await _rate(installation, seconds)
            used = spent(before, installation.cpu_seconds())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        show("waiting.all", [busy], "transactions/s", ratio_to=max(idle, 0.001))
        show("waiting.cpu.public-api", [used["public-api"] / seconds * 100], "%")


async def _started(installation: Installation) -> list[str]:
    places = iter(range(WAITERS))

    async def caller() -> list[str]:
        return [(await installation.client.start("bench/waiting", {}))["execution_id"] for _ in places]

    return [each for found in await asyncio.gather(*(caller() for _ in range(CALLERS))) for each in found]


async def _wait(session: aiohttp.ClientSession, execution_id: str) -> None:
    """Ask again and again, half of them for the end and half for a version that does not come."""
    is_even = int(execution_id) % 2 == 0
    path = f"executions/{execution_id}"
    query = f"/wait?timeout_seconds={WAIT_SECONDS}" if is_even else f"?min_version=99&wait={WAIT_SECONDS}"
    while True:
        async with session.get(path + query) as answer:
            await answer.read()


async def _listen(session: aiohttp.ClientSession, execution_id: str) -> None:
    async with session.get(f"executions/{execution_id}/stream") as answer:
        async for _ in answer.content:
            pass


async def _rate(installation: Installation, seconds: int) -> float:
    """Transactions a second in the database; a query outside one counts as one."""
    await asyncio.sleep(2)  # what servers did until now is counted by then
    before, began = await installation.database.fetchval(STATEMENTS), time.monotonic()
    await asyncio.sleep(seconds)
    after = await installation.database.fetchval(STATEMENTS)
    return float(after - before) / (time.monotonic() - began)
