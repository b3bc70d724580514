"""Fixtures of all tests: servers once a run, a database and an empty broker for each test that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from engine.runtime.embedded import EmbeddedNats, EmbeddedPostgres
from tests.support import servers, tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
async def leaked_tasks_fail_the_test() -> AsyncIterator[None]:
    async with tasks.no_leaked_tasks():
        yield


@pytest.fixture
def home() -> Iterator[Path]:
    """A `.playlog` of the test's own, not made yet, where the servers' account can reach it."""
    with servers.temporary_home() as home:
        yield home


@pytest.fixture(scope="session")
async def postgres_server() -> AsyncIterator[EmbeddedPostgres]:
    """The PostgreSQL of this run; a test that stops it must start it again."""
    with servers.temporary_home() as home:
        server = EmbeddedPostgres(home)
        await server.start()
        yield server
        await server.stop()


@pytest.fixture(scope="session")
async def nats_server() -> AsyncIterator[EmbeddedNats]:
    """The nats-server of this run; a test that stops it must start it again."""
    with servers.temporary_home() as home:
        server = EmbeddedNats(home)
        await server.start()
        yield server
        await server.stop()


@pytest.fixture(scope="session")
async def template_database(postgres_server: EmbeddedPostgres) -> str:
    """The name of the migrated database that is copied for each test."""
    return await servers.make_template(postgres_server)


@pytest.fixture
async def database_url(postgres_server: EmbeddedPostgres, template_database: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database, as the role that owns it and may make others."""
    async with servers.fresh_database(postgres_server, template_database) as url:
        yield url


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[servers.Connection]:
    """A connection to the test's database."""
    async with servers.connected(database_url) as connection:
        yield connection


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[servers.Pool]:
    """A pool of up to ten connections to the test's database."""
    async with asyncpg.create_pool(
        database_url, min_size=1, max_size=10, timeout=10, command_timeout=60
    ) as pool:
        yield pool


@pytest.fixture
async def nats_url(nats_server: EmbeddedNats) -> str:
    """The address of the broker, without any stream."""
    await servers.delete_streams(nats_server.url)
    return nats_server.url
