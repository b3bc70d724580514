from __future__ import annotations

import asyncio

import asyncpg
import pytest

from engine import errors
from engine.runtime import database
from engine.runtime.checks import add_database_checks
from engine.runtime.database import Connection, checkout, classified, classify, connect, open_pool
from engine.runtime.health import Health
from engine.runtime.settings import DatabaseSettings


def settings_for(url: str | None, **changes: float) -> DatabaseSettings:
    return DatabaseSettings.model_validate({"database_url": url, **changes})


async def test_a_connection_names_itself_and_has_jit_off(database_url: str) -> None:
    connection = await connect(settings_for(database_url), name="playlog-test")
    try:
        assert await connection.fetchval("SHOW application_name") == "playlog-test"
        assert await connection.fetchval("SHOW jit") == "off"
    finally:
        await connection.close()


async def test_a_statement_is_given_up_after_its_time(database_url: str) -> None:
    connection = await connect(settings_for(database_url, command_timeout=0.05))
    try:
        with pytest.raises(errors.Unavailable), classified():
            await connection.execute("SELECT pg_sleep(10)")
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close()


async def test_a_connection_that_is_not_made_ready_is_not_left_open(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Connection] = []

    async def cancelled(connection: Connection) -> None:
        opened.append(connection)
        raise asyncio.CancelledError

    monkeypatch.setattr(database, "refuse_fractions", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await connect(settings_for(database_url))
    (connection,) = opened
    assert connection.is_closed()


async def test_an_integer_column_refuses_a_fraction_and_keeps_63_bits(database_url: str) -> None:
    connection = await connect(settings_for(database_url))
    try:
        await connection.execute("CREATE TEMPORARY TABLE numbers (a bigint, b integer, c smallint)")
        rows = [(2**63 - 1, -(2**31), 2**15 - 1), (-(2**63), 0, None)]
        await connection.copy_records_to_table("numbers", records=rows)
        assert [tuple(row) for row in await connection.fetch("TABLE numbers")] == rows
        assert await connection.fetchval("SELECT $1::bigint[]", [2**62, -1]) == [2**62, -1]
        for value in (1.5, "1", 2**63):
            with pytest.raises(errors.Invalid), classified():
                await connection.execute("INSERT INTO numbers VALUES ($1)", value)
    finally:
        await connection.close()


async def test_a_connection_works_without_prepared_statements_as_pgbouncer_needs(database_url: str) -> None:
    connection = await connect(settings_for(database_url, statement_cache_size=0))
    try:
        assert await connection.fetchval("SELECT $1::bigint", 7) == 7
    finally:
        await connection.close()


async def test_a_transaction_left_open_is_rolled_back_when_given_back(database_url: str) -> None:
    pool = await open_pool(settings_for(database_url), size=1)
    try:
        async with checkout(pool) as connection:
            await connection.execute("BEGIN")
            await connection.execute("CREATE TABLE left_over ()")
        async with checkout(pool) as connection:
            assert await connection.fetchval("SELECT to_regclass('left_over')") is None
    finally:
        await pool.close()


async def test_a_pool_in_full_use_is_busy_and_works_again(database_url: str) -> None:
    pool = await open_pool(settings_for(database_url), size=1)
    try:
        async with checkout(pool):
            with pytest.raises(errors.Busy) as caught:
                async with checkout(pool, seconds=0.02):
                    pass
        assert caught.value.data["retry_after"] == 1
        async with checkout(pool) as connection:
            assert await connection.fetchval("SELECT 1") == 1
    finally:
        await pool.close()


async def test_a_terminated_connection_is_unavailable_and_replaced(database_url: str) -> None:
    pool = await open_pool(settings_for(database_url), size=2)
    try:
        with pytest.raises(errors.Unavailable) as caught:
            async with checkout(pool) as connection:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert caught.value.code == "database_away"
        async with checkout(pool) as connection:
            assert await connection.fetchval("SELECT 1") == 1
    finally:
        await pool.close()


async def test_a_server_that_is_not_there_is_waited_for_and_then_unavailable() -> None:
    settings = settings_for("postgresql://u@127.0.0.1:1/d", database_start_timeout=0.2)
    started = asyncio.get_running_loop().time()
    with pytest.raises(errors.Unavailable):
        await connect(settings)
    with pytest.raises(errors.Unavailable):
        await open_pool(settings)
    assert asyncio.get_running_loop().time() - started < 5


async def test_a_wrong_database_is_misconfigured_at_once(database_url: str) -> None:
    wrong = database_url.replace("/test_", "/no_such_", 1)
    with pytest.raises(errors.Misconfigured, match="no such database") as caught:
        await open_pool(settings_for(wrong))
    assert "no_such_" not in caught.value.detail


async def test_no_url_is_misconfigured() -> None:
    with pytest.raises(errors.Misconfigured, match="PLAYLOG_DATABASE_URL"):
        await connect(settings_for(None))


async def test_errors_of_the_server_become_ours_without_its_words(database_url: str) -> None:
    connection = await connect(settings_for(database_url))
    try:
        await connection.execute("CREATE TEMPORARY TABLE t (a bigint CONSTRAINT t_key UNIQUE)")
        await connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(errors.Conflict, match="t_key") as caught, classified():
            await connection.execute("INSERT INTO t VALUES (1)")
        assert "already exists" not in caught.value.detail
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (asyncpg.DeadlockDetectedError("x"), errors.Unavailable, "database_busy"),
        (asyncpg.SerializationError("x"), errors.Unavailable, "database_busy"),
        (asyncpg.LockNotAvailableError("x"), errors.Unavailable, "database_busy"),
        (asyncpg.DiskFullError("x"), errors.Unavailable, "storage_full"),
        (asyncpg.AdminShutdownError("x"), errors.Unavailable, "database_away"),
        (asyncpg.TooManyConnectionsError("x"), errors.Unavailable, "database_away"),
        (asyncpg.InterfaceError("x"), errors.Unavailable, "database_away"),
        (asyncpg.InternalClientError("x"), errors.Unavailable, "database_away"),
        (ConnectionResetError("x"), errors.Unavailable, "database_away"),
        (TimeoutError("x"), errors.Unavailable, "database_away"),
        (asyncpg.CheckViolationError("x"), errors.Invalid, "invalid"),
        (asyncpg.UndefinedTableError("x"), errors.Unavailable, "database_error"),
        (errors.NotFound(), errors.NotFound, "not_found"),
        (KeyError("x"), errors.PlaylogError, "internal_error"),
    ],
)
def test_each_class_of_errors_has_its_leaf(
    error: Exception, kind: type[errors.PlaylogError], code: str
) -> None:
    known = classify(error)
    assert type(known) is kind
    assert known.code == code


async def test_a_migrated_durable_database_is_ready(database_url: str) -> None:
    pool = await open_pool(settings_for(database_url))
    try:
        health = Health()
        add_database_checks(health, pool, allow_unsafe_durability=False)
        async with checkout(pool) as connection:
            unsafe = await connection.fetchval("SHOW fsync") == "off"
        faults = await health.faults()
    finally:
        await pool.close()
    assert (faults["database"], faults["migrations"]) == (None, None)
    assert (faults["durability"] is not None) is unsafe


async def test_an_unsafe_or_unmigrated_database_is_not_ready_with_the_reason(
    database_url: str, connection: asyncpg.Connection[asyncpg.Record]
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    pool = await open_pool(settings_for(database_url))
    try:
        strict, lenient = Health(), Health()
        add_database_checks(strict, pool, allow_unsafe_durability=False)
        add_database_checks(lenient, pool, allow_unsafe_durability=True)
        why = (await strict.faults())["durability"]
        assert why is not None
        assert "synchronous_commit of PostgreSQL is off" in why
        assert "durability" not in await lenient.faults()

        await connection.execute("DROP SCHEMA playlog CASCADE")
        unmigrated = Health()
        add_database_checks(unmigrated, pool, allow_unsafe_durability=True)
        why = (await unmigrated.faults())["migrations"]
        assert why is not None
        assert why.startswith("to be applied: 0001")
    finally:
        await pool.close()
