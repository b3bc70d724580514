"""Embedded servers keep their data and their addresses through stops, crashes and restarts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import nats
import pytest

from engine.errors import Unavailable
from engine.runtime.embedded import EmbeddedNats, EmbeddedPostgres, embedded
from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def postgres(home: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(home)
    yield server
    await server.stop()


@pytest.fixture
async def broker(home: Path) -> AsyncIterator[EmbeddedNats]:
    server = EmbeddedNats(home)
    yield server
    await server.stop()


async def test_the_second_start_finds_the_data_at_the_same_addresses(home: Path) -> None:
    async with embedded(home, database_url=None, nats_url=None) as first:
        async with servers.connected(first.database_url) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        await make_stream(first.nats_url)
    async with embedded(home, database_url=None, nats_url=None) as second:
        async with servers.connected(second.database_url) as connection:
            assert await connection.fetchval("SELECT number FROM kept") == 7
        assert await stream_names(second.nats_url) == ["KEPT"]
    assert (first.database_url, first.nats_url) == (second.database_url, second.nats_url)


async def test_both_servers_are_gone_in_the_end(home: Path) -> None:
    async with embedded(home, database_url=None, nats_url=None) as running:
        assert running.postgres is not None
        assert running.nats is not None
        assert running.postgres.process.running
        assert running.nats.process.running
    assert await running.postgres.process.wait() == 0
    assert await running.nats.process.wait() in {0, 1}


async def test_a_killed_postgres_comes_back_with_what_was_committed(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    address = postgres.url
    async with servers.connected(address) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        await postgres.kill()
    await postgres.start()
    assert postgres.url == address
    async with servers.connected(address) as connection:
        assert await connection.fetchval("SELECT number FROM kept") == 7


async def test_a_killed_broker_comes_back_with_what_was_acknowledged(broker: EmbeddedNats) -> None:
    await broker.start()
    address = broker.url
    await make_stream(address)
    await broker.kill()
    await broker.restart()
    assert broker.url == address
    assert await stream_names(address) == ["KEPT"]


async def test_a_restart_ends_open_sessions(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    async with servers.connected(postgres.url) as connection:
        await postgres.restart()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.execute("SELECT 1")


async def test_starting_a_running_server_changes_nothing(broker: EmbeddedNats) -> None:
    await broker.start()
    pid = broker.process.pid
    await broker.start()
    assert broker.process.pid == pid


async def test_the_database_is_durable_private_and_not_the_superusers(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    async with servers.connected(postgres.url) as connection:
        settings = {
            name: await connection.fetchval("SELECT current_setting($1)", name)
            for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "TimeZone")
        }
        assert settings == {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "listen_addresses": "",
            "TimeZone": "UTC",
        }
        assert await connection.fetchval("SELECT current_setting('is_superuser')") == "off"
        assert await connection.fetchval("SELECT current_setting('server_encoding')") == "UTF8"
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert await connection.fetchval(owner) == "playlog"
    assert postgres.socket.stat().st_mode & 0o777 == 0o700


async def test_the_broker_asks_for_its_password(broker: EmbeddedNats) -> None:
    await broker.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b"Authorization Violation" in answer
    assert b"PONG" not in answer


async def test_a_server_that_ends_at_start_shows_the_end_of_its_log(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    await postgres.stop()
    (postgres.data / "global" / "pg_control").unlink()
    with pytest.raises(Unavailable, match=r"(?s)ended with status.*postgres\.log.*pg_control") as raised:
        await postgres.start()
    assert raised.value.code == "server_ended"


async def make_stream(url: str) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="KEPT", subjects=["kept"])
    await jetstream.publish("kept", b"x" * 2_000_000)
    await client.close()


async def stream_names(url: str) -> list[str | None]:
    client = await nats.connect(url)
    names = [each.config.name for each in await client.jetstream().streams_info()]
    await client.close()
    return names
