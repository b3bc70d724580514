"""A database that the role `playlog_reader` may read, and the executions that it finds there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from sql.runner import make_roles
from tests.support import servers
from tests.support.some_executions import SomeExecutions, make_some

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from engine.runtime.embedded import EmbeddedPostgres
    from tests.support.servers import Connection


def as_superuser(server: EmbeddedPostgres, url: str) -> str:
    """The address of the same database for the administrator."""
    return server.url_of(urlsplit(server.superuser_url).username or "", urlsplit(url).path[1:])


@asynccontextmanager
async def reading(superuser_url: str) -> AsyncIterator[Connection]:
    """A connection as the reader; afterwards the role is gone, as roles belong to the whole server."""
    await make_roles(superuser_url)
    async with servers.connected(superuser_url) as connection:
        await connection.execute("set session authorization playlog_reader")
        try:
            yield connection
        finally:
            await connection.execute("reset session authorization")
            await connection.execute("drop owned by playlog_reader")
            await connection.execute("drop role playlog_reader")


@pytest.fixture
def superuser_url(postgres_server: EmbeddedPostgres, database_url: str) -> str:
    """The address of the test's database for the administrator."""
    return as_superuser(postgres_server, database_url)


@pytest.fixture
async def reader(superuser_url: str) -> AsyncIterator[Connection]:
    """A connection to the test's database as the reader."""
    async with reading(superuser_url) as connection:
        yield connection


@pytest.fixture(scope="module")
async def some(postgres_server: EmbeddedPostgres, template_database: str) -> AsyncIterator[SomeExecutions]:
    """Executions of many kinds in a database of the module's own, seen by the reader."""
    async with servers.fresh_database(postgres_server, template_database) as url:
        found = await make_some(url)
        async with reading(as_superuser(postgres_server, url)) as connection:
            found.reader = connection
            yield found
