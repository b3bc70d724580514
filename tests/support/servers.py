"""The real servers of a test run: a home for them, a database and an empty broker for each test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import nats

from engine.runtime.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

ROLE = "playlog"
TEMPLATE = "playlog_template"
_numbers = itertools.count(1)


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A `.playlog` that every account can reach, unlike pytest's own folders; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="playlog-test-"))
    folder.chmod(0o755)
    try:
        yield folder / ".playlog"
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection, closed afterwards."""
    connection = await asyncpg.connect(url, timeout=10, command_timeout=60)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


async def make_template(server: EmbeddedPostgres) -> str:
    """Migrate a database that tests copy, and return its name; tests may make databases of their own."""
    from sql.runner import migrate  # noqa: PLC0415

    async with connected(server.superuser_url) as connection:
        await connection.execute(f"ALTER ROLE {ROLE} CREATEDB")
        await connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER {ROLE}")
    await migrate(server.url_of(ROLE, TEMPLATE))
    return TEMPLATE


@asynccontextmanager
async def fresh_database(server: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """The address of a copy of `template`, dropped afterwards whoever is still connected."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    async with connected(server.superuser_url) as connection:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {ROLE}")
    try:
        yield server.url_of(ROLE, name)
    finally:
        async with connected(server.superuser_url) as connection:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def delete_streams(url: str) -> None:
    """Leave a broker without any stream."""
    client = await nats.connect(url, connect_timeout=5, allow_reconnect=False)
    try:
        jetstream = client.jetstream()
        for stream in await jetstream.streams_info():
            await jetstream.delete_stream(stream.config.name or "")
    finally:
        await client.close()
