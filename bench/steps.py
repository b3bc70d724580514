"""Steps a second from end to end: started over HTTP, worked, published and projected."""

from __future__ import annotations

import asyncio
import time

from bench.figures import percentile, show
from bench.installation import Installation, installed, spent

STEPS = 3
THREE = """
playbook: bench/three
steps:
  - {name: first, tool: noop}
  - {name: second, tool: noop}
  - {name: third, tool: noop}
"""
ONE = "{playbook: bench/one, steps: [{name: only, tool: noop}]}"
FORTY = "playbook: bench/forty\nsteps:\n" + "".join(
    f"  - {{name: s{number}, tool: noop}}\n" for number in range(40)
)
CALLERS = 32
UNFINISHED = (
    "select exists (select from playlog.outbox) or $3 > (select count(*) from playlog.snapshot"
    " where path = $1 and status = 'completed' and execution_id > $2)"
)
LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 120.0


async def run(*, quick: bool) -> None:
    """Print steps a second, CPU a step by process, start-to-visible and the time of 40 steps in a row."""
    executions, rounds = 1_000, (2 if quick else 5)
    async with installed() as installation:
        for source in (THREE, ONE, FORTY):
            await installation.client.register(source)
        await _through(installation, "bench/three", 100)
        await _rates(installation, executions, rounds)
        await _latencies(installation, 50 if quick else 300)
        await _chain(installation, 3 if quick else 10)


async def _rates(installation: Installation, executions: int, rounds: int) -> None:
    rates, costs = [], []
    by_process: dict[str, list[float]] = {}
    for _ in range(rounds):
        before = installation.cpu_seconds()
        seconds = await _through(installation, "bench/three", executions)
        used = spent(before, installation.cpu_seconds())
        steps = executions * STEPS
        rates.append(steps / seconds)
        costs.append(sum(used.values()) / steps * 1000)
        for name, each in used.items():
            by_process.setdefault(name, []).append(each / steps * 1000)
    show("steps", rates, "steps/s")
    show("steps.cpu", costs, "ms/step")
    for name, values in sorted(by_process.items()):
        show(f"steps.cpu.{name}", values, "ms/step", ratio_to=sum(costs) / len(costs))


async def _through(installation: Installation, playbook: str, executions: int) -> float:
    """Seconds from the first start until all executions are completed, published and projected."""
    newest = await installation.database.fetchval(
        "select coalesce(max(execution_id), 0) from playlog.execution"
    )
    began = time.perf_counter()
    places = iter(range(executions))

    async def caller() -> None:
        for _ in places:
            await installation.client.start(playbook, {})

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    while await installation.database.fetchval(UNFINISHED, playbook, newest, executions):
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise TimeoutError(f"{playbook}: not all of {executions} executions have completed")
        await asyncio.sleep(LOOK_SECONDS)
    seconds = time.perf_counter() - began
    await _check(installation, playbook, newest, executions)
    return seconds


async def _check(installation: Installation, playbook: str, newest: int, executions: int) -> None:
    versions = await installation.database.fetch(
        "select version, status from playlog.execution where path = $1 and execution_id > $2",
        playbook,
        newest,
    )
    expected = 2 + 3 * STEPS
    if len(versions) != executions or any(tuple(row) != (expected, "completed") for row in versions):
        raise AssertionError(f"{playbook}: {executions} executions of {expected} events were expected")


async def _latencies(installation: Installation, count: int) -> None:
    taken = [await _visible(installation, "bench/one") for _ in range(count)]
    show("start_to_visible.p50", [percentile(taken, 0.50)], "ms")
    show("start_to_visible.p99", [percentile(taken, 0.99)], "ms")


async def _chain(installation: Installation, count: int) -> None:
    show("forty_steps", [await _visible(installation, "bench/forty") for _ in range(count)], "ms")


async def _visible(installation: Installation, playbook: str) -> float:
    """Milliseconds from the call that starts an execution until its end can be read."""
    began = time.perf_counter()
    started = await installation.client.start(playbook, {})
    ended = await installation.client.wait(started["execution_id"], seconds=30)
    if ended["status"] != "completed":
        raise AssertionError(f"{playbook}: {ended['status']}")
    return (time.perf_counter() - began) * 1000
