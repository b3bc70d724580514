"""A whole installation for a benchmark: own servers, own processes, and what each of them costs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from engine.runtime.settings_loading import load
from playlog.cli.dev import engine
from playlog.cli.dev.engine import Engine, Voices
from playlog.cli.dev.layout import DevSettings, Wanted
from playlog.cli.dev.processes import Supervised
from playlog.client import Client

FIRST_PORTS = (18080, 18081)
FIRST_HEALTH_PORT = 19090


@dataclass(frozen=True, slots=True)
class Installation:
    """A running installation with a client of its public API and a connection to its database."""

    engine: Engine
    client: Client
    database: asyncpg.Connection

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds used so far, by process; those of the servers include their children."""
        used = {name: _used([psutil.Process(pid)]) for name, pid in self.engine.pids.items()}
        servers = {"postgres": self.engine.servers.postgres, "nats": self.engine.servers.nats}
        for name, server in servers.items():
            if server is not None:
                root = psutil.Process(server.process.pid)
                used[name] = _used([root, *root.children(recursive=True)])
        return used


@contextlib.asynccontextmanager
async def installed(nats_url: str | None = None) -> AsyncIterator[Installation]:
    """Start everything in a temporary home on ports of its own, and remove it at the end.

    With `nats_url` that broker is used instead of an own one.
    """
    processes: dict[str, Supervised] = {}
    with temporary_home() as home:
        wanted = Wanted(
            home=home,
            tasks_path=Path.cwd(),
            first_ports=FIRST_PORTS,
            first_health_port=FIRST_HEALTH_PORT,
        )
        voices = Voices(say=_quiet, emit=lambda _, __: None)
        settings = load(DevSettings).model_copy(update={"nats_url": nats_url})
        async with engine.running(wanted, settings, voices, processes) as started:
            database = await asyncpg.connect(started.servers.database_url, timeout=10, command_timeout=60)
            try:
                async with Client(started.layout.public_url, "") as client:
                    yield Installation(started, client, database)
            finally:
                await database.close()


@contextlib.contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder that the account of the servers can reach, also when root runs the benchmark."""
    with tempfile.TemporaryDirectory(prefix="playlog-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "home"


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """CPU seconds between two readings, by process."""
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


def _used(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _quiet(_: str) -> None:
    """Say nothing: a benchmark prints figures only."""
