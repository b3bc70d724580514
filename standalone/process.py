"""The process that plays every role: all in one event loop, started together, stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from engine.runtime.health import Check, Health
from engine.runtime.memory import MemoryBus, MemoryStream
from engine.runtime.process import STOP_ORDER, ProcessContext, run_process
from engine.runtime.settings import StandaloneProcess
from internal_api.process import serve_internal
from projector.process import project
from public_api.process import serve_public
from publisher.process import publish
from scheduler.process import schedule
from worker.process import run as work

WORKER_GRACE = 0.5
"""The worker's share of grace_seconds; what it leaves is for those who end after it."""

Context = ProcessContext[StandaloneProcess]


def main() -> int:
    """Run every role until SIGTERM; return the exit code. One at a time uses a database."""
    return run_process("standalone", run, StandaloneProcess)


async def run(context: Context) -> None:
    """Run every role until told to stop; an error of one ends all of them."""
    bus, stream = MemoryBus(), MemoryStream()
    parts = {role: _part(context, role) for together in STOP_ORDER for role in together}
    works = {
        "internal-api": serve_internal(parts["internal-api"], bus),
        "public-api": serve_public(parts["public-api"], bus, stream.tail),
        "publisher": publish(parts["publisher"], bus, stream),
        "projector": project(parts["projector"], bus, stream),
        "scheduler": schedule(parts["scheduler"], bus),
        "worker": work(parts["worker"]),
    }
    async with asyncio.TaskGroup() as tasks:
        running = {role: tasks.create_task(each, name=role) for role, each in works.items()}
        tasks.create_task(_stop_in_order(context.stop, parts, running))


def _part(whole: Context, role: str) -> Context:
    """What one role gets: an event of its own to stop at, and a health that shows up in the whole's."""
    settings = whole.settings
    if role == "worker":
        settings = settings.model_copy(update={"grace_seconds": settings.grace_seconds * WORKER_GRACE})
    part = ProcessContext(name=role, settings=settings)
    whole.health.add(role, _faults_of(part.health))
    return part


def _faults_of(health: Health) -> Check:
    async def check() -> str | None:
        faults = await health.faults()
        return "; ".join(f"{name}: {why}" for name, why in faults.items() if why is not None) or None

    return check


async def _stop_in_order(
    stop: asyncio.Event, parts: Mapping[str, Context], running: Mapping[str, asyncio.Task[None]]
) -> None:
    await stop.wait()
    for together in STOP_ORDER:
        for role in together:
            parts[role].stop.set()
        await asyncio.wait([running[role] for role in together])
