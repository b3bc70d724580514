"""PostgreSQL for one project: initialised on first use, restarted on the same data and socket.

Access is by unix socket in a private directory and `peer` authentication: the kernel tells who connects,
so there is no password to keep and no port to guard. The server listens on no network address.
The role `playlog` owns the database `playlog` and is no superuser; `postgres` is.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg

from engine.errors import Unavailable
from engine.runtime.embedded.binaries import PostgresPrograms, Search, find_postgres
from engine.runtime.embedded.child import Child
from engine.runtime.embedded.postgres_data import (
    check_major,
    configure,
    initialise,
    predecessor_gone,
    written_major,
)
from engine.runtime.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from engine.runtime.embedded.home import Home

SUPERUSER = "postgres"
ROLE = "playlog"
DATABASE = "playlog"
START_SECONDS = 60.0
PREDECESSOR_SECONDS = 20.0
CONNECT_SECONDS = 5.0
MEMORY_SECONDS = 10.0
MEMORY_POLL_SECONDS = 0.1
STILL_ATTACHED = "pre-existing shared memory block"
NOT_YET = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)


class EmbeddedPostgres(EmbeddedServer):
    """The PostgreSQL of a home."""

    name = "postgres"
    stop_steps = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0))

    _data: Path | None = None
    _socket: Path | None = None

    @property
    def url(self) -> str:
        """The product's address: role `playlog`, database `playlog`. Known once started."""
        return self.url_of(ROLE, DATABASE)

    @property
    def superuser_url(self) -> str:
        """The administrator's address, for tests and repairs. Known once started."""
        return self.url_of(SUPERUSER, "postgres")

    @property
    def data(self) -> Path:
        """The data directory. Known once started."""
        return self._known(self._data)

    @property
    def socket(self) -> Path:
        """The directory of the socket. Known once started."""
        return self._known(self._socket)

    def url_of(self, role: str, database: str) -> str:
        """The address of a database for a role. Known once started."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.socket))}&port=5432"

    async def _launch(self, home: Home) -> None:
        data = self._data = home.site / "postgres"
        programs = await asyncio.to_thread(_prepare, home, self._search, data)
        self._socket = home.socket_directory()
        config = configure(home, self._socket, (ROLE, SUPERUSER))
        await predecessor_gone(data, PREDECESSOR_SECONDS)
        command = (programs.folder / "postgres", "-D", data, f"--config_file={config}")
        await self._run(home, command)
        await self._ensure_database()

    async def _run(self, home: Home, command: tuple[Path | str, ...]) -> None:
        """Start it; again, as long as children of a killed predecessor have not noticed its death."""
        deadline = time.monotonic() + MEMORY_SECONDS
        while True:
            log = home.log(self.name)
            self._child = await Child.start(command, home.account, log, last_signal=signal.SIGQUIT)
            try:
                return await self._child.until_ready(self._answers, START_SECONDS)
            except Unavailable as error:
                if STILL_ATTACHED not in error.detail or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(MEMORY_POLL_SECONDS)

    async def _answers(self) -> bool:
        try:
            async with self._superuser():
                return True
        except NOT_YET:
            return False

    async def _ensure_database(self) -> None:
        async with self._superuser() as connection:
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", ROLE):
                await connection.execute(f"CREATE ROLE {ROLE} LOGIN")
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")

    @contextlib.asynccontextmanager
    async def _superuser(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        connection = await asyncpg.connect(
            self.superuser_url, timeout=CONNECT_SECONDS, command_timeout=START_SECONDS
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_SECONDS)


def _prepare(home: Home, search: Search, data: Path) -> PostgresPrograms:
    """Find programs that fit the data, or make the data."""
    written = written_major(data)
    programs = find_postgres(home.account, search, major=written)
    if written is None:
        initialise(programs, home, data, superuser=SUPERUSER)
    else:
        check_major(data, written, programs)
    return programs
