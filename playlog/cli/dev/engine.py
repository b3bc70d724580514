"""A whole engine: servers, migrations and processes, started and stopped in order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from engine.errors import PlaylogError, Unavailable
from engine.runtime.embedded import EmbeddedNats, EmbeddedPostgres, Servers, embedded
from engine.runtime.embedded.home import Lock, open_home
from engine.runtime.process import STOP_ORDER
from playlog.cli.dev import record
from playlog.cli.dev.layout import STANDALONE, DevSettings, Layout, Wanted, lay_out
from playlog.cli.dev.lines import Emit
from playlog.cli.dev.ports import HOST, Ports
from playlog.cli.dev.processes import BACKOFF_SECONDS, Supervised, ending, inherited, run_once

READY_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Engine:
    """An engine that is ready: where it is, and what it consists of."""

    home: Path
    layout: Layout
    servers: Servers
    migrated: list[str]
    processes: dict[str, Supervised]
    seconds: float = 0.0

    @property
    def health_urls(self) -> dict[str, str]:
        """Where each process tells how it is."""
        return {role: f"http://{HOST}:{port}" for role, port in self.layout.health_ports.items()}

    @property
    def pids(self) -> dict[str, int]:
        """The ids of the processes that run now."""
        return {name: each.pid for name, each in self.processes.items() if each.pid is not None}

    def record(self) -> None:
        """Write down where it is, for other commands."""
        running = record.Running(
            pid=os.getpid(),
            public_api_url=self.layout.public_url,
            internal_api_url=self.layout.internal_url,
            health_urls=self.health_urls,
            pids=self.pids,
        )
        record.write(self.home, running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voices:
    """Where an engine speaks: `say` for what it does itself, `emit` for the lines of its processes."""

    say: Callable[[str], None]
    emit: Emit


@asynccontextmanager
async def running(
    wanted: Wanted, settings: DevSettings, voices: Voices, processes: dict[str, Supervised]
) -> AsyncIterator[Engine]:
    """Start everything, wait until all is ready, and stop it in order at the end.

    `processes` is filled with what is started, for those who cannot wait for the end.

    Raises `Misconfigured` (home or port in use, no servers, a process refuses its settings) or
    `Unavailable` (something does not become ready): both say what and where.
    """
    began = time.monotonic()
    home = wanted.home.absolute()
    async with AsyncExitStack() as stack:
        _make(home, embeds=settings.database_url is None or settings.nats_url is None)
        lock = Lock(home / "dev.lock")
        lock.take()
        stack.callback(lock.release)
        layout = lay_out(wanted, settings, Ports(voices.say))
        voices.say("starting")
        servers = await stack.enter_async_context(
            embedded(home, database_url=settings.database_url, nats_url=settings.nats_url)
        )
        migrated = await migrate(settings, servers)
        engine = Engine(home=home, layout=layout, servers=servers, migrated=migrated, processes=processes)
        stack.callback(record.remove, home)
        stack.push_async_callback(_stop, processes)
        await _start(engine, voices)
        stack.push_async_callback(_cancel, _watch(servers, voices.say))
        engine.seconds = time.monotonic() - began
        engine.record()
        yield engine


async def migrate(settings: DevSettings, servers: Servers) -> list[str]:
    """Apply the migrations and return the names of those that were pending; raises `Unavailable`."""
    direct = (settings.migration_database_url or "") if servers.postgres is None else ""
    addresses = {
        "PLAYLOG_DATABASE_URL": servers.database_url,
        "PLAYLOG_MIGRATION_DATABASE_URL": direct,
    }
    status, output = await run_once("sql", "up", environment={**inherited(), **addresses})
    if status != 0:
        raise Unavailable(output, code="not_migrated")
    return [line.split()[-1] for line in output.splitlines() if line.startswith("applied")]


def kill(processes: Iterable[Supervised]) -> None:
    """End processes at once; the servers still end in order."""
    for each in processes:
        each.kill()


def _make(home: Path, *, embeds: bool) -> None:
    if embeds:
        open_home(home)
        return
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitignore").write_text("*\n")


async def _start(engine: Engine, voices: Voices) -> None:
    servers = engine.servers
    for plan in engine.layout.plans(servers.database_url, servers.nats_url):
        engine.processes[plan.name] = Supervised(plan=plan, emit=voices.emit, say=voices.say)
    started = engine.processes.values()
    for each in started:
        each.start()
    async with aiohttp.ClientSession() as session:
        waits = [asyncio.create_task(each.ready(session, READY_SECONDS)) for each in started]
        try:
            await asyncio.gather(*waits)
        finally:
            await _cancel(waits)
    for each in started:
        each.on_started = engine.record


async def _stop(processes: dict[str, Supervised]) -> None:
    for together in ((STANDALONE,), *STOP_ORDER):
        await asyncio.gather(*(processes[name].stop() for name in together if name in processes))


def _watch(servers: Servers, say: Callable[[str], None]) -> list[asyncio.Task[None]]:
    ours = [each for each in (servers.postgres, servers.nats) if each is not None]
    return [asyncio.create_task(_keep(server, say), name=server.name) for server in ours]


async def _keep(server: EmbeddedPostgres | EmbeddedNats, say: Callable[[str], None]) -> None:
    """Start a server again whenever it ends unasked."""
    while True:
        status = await server.process.wait()
        delay = BACKOFF_SECONDS[0]
        while not server.process.running:
            say(f"{server.name} {ending(status)}; it starts again in {delay:g} s")
            await asyncio.sleep(delay)
            try:
                await server.start()
            except PlaylogError as error:
                say(f"{server.name} cannot be started: {error.detail}")
            delay = min(BACKOFF_SECONDS[1], delay * 2)


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
