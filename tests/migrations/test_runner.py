"""The runner applies each migration once and refuses what does not fit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from sql.migration import MigrationError
from sql.runner import LOCK, migrate, pending, status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[dict[str, str]], Path]

FIRST = {"0001_first": "CREATE TABLE playlog.first (id bigint);"}
SECOND = {"0002_second": "ALTER TABLE playlog.first ADD COLUMN word text;"}


async def fetch(dsn: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def test_migrations_are_applied_in_order_and_each_once(
    empty_database: str, write_migrations: Write
) -> None:
    folder = write_migrations(FIRST)
    assert await migrate(empty_database, folder=folder) == ["0001_first"]
    write_migrations(SECOND)
    assert await migrate(empty_database, folder=folder) == ["0002_second"]
    assert await migrate(empty_database, folder=folder) == []
    rows = await fetch(empty_database, "SELECT name FROM playlog.migration ORDER BY applied_at")
    assert [row["name"] for row in rows] == ["0001_first", "0002_second"]


async def test_two_runners_at_once_apply_each_migration_once(
    empty_database: str, write_migrations: Write
) -> None:
    texts = {f"{n:04}_table": f"SELECT pg_sleep(0.02); CREATE TABLE playlog.t{n} ();" for n in range(1, 6)}
    folder = write_migrations(texts)
    results = await asyncio.gather(*(migrate(empty_database, folder=folder) for _ in range(2)))
    assert sorted(map(len, results)) == [0, 5]
    assert [name for names in results for name in names] == list(texts)


async def test_an_index_is_built_concurrently_outside_a_transaction(
    empty_database: str, write_migrations: Write
) -> None:
    build = (
        "-- playlog: no-transaction\n"
        "-- Dropped first: a failed build leaves an invalid index.\n"
        "DROP INDEX CONCURRENTLY IF EXISTS playlog.first_by_id;\n"
        "CREATE INDEX CONCURRENTLY first_by_id\n    ON playlog.first (id);\n"
    )
    folder = write_migrations(FIRST | {"0002_index": build})
    results = await asyncio.gather(*(migrate(empty_database, folder=folder) for _ in range(2)))
    assert sorted(map(len, results)) == [0, 2]
    rows = await fetch(
        empty_database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'playlog.first_by_id'::regclass"
    )
    assert [row["indisvalid"] for row in rows] == [True]


async def test_a_failed_migration_leaves_nothing_and_those_before_it_stay(
    empty_database: str, write_migrations: Write
) -> None:
    folder = write_migrations(FIRST | {"0002_bad": "CREATE TABLE playlog.half (); SELECT nothing_like_it;"})
    with pytest.raises(MigrationError, match=r"0002_bad failed: .*nothing_like_it"):
        await migrate(empty_database, folder=folder)
    rows = await fetch(empty_database, "SELECT to_regclass('playlog.half') AS half")
    assert rows[0]["half"] is None
    assert [each.state for each in await status(empty_database, folder=folder)] == ["applied", "pending"]


async def test_an_edited_migration_is_refused(empty_database: str, write_migrations: Write) -> None:
    folder = write_migrations(FIRST)
    await migrate(empty_database, folder=folder)
    write_migrations({"0001_first": FIRST["0001_first"] + "\n-- a later thought"} | SECOND)
    with pytest.raises(MigrationError, match="0001_first was edited after it was applied"):
        await migrate(empty_database, folder=folder)
    assert [each.state for each in await status(empty_database, folder=folder)] == ["edited", "pending"]


async def test_other_line_ends_are_no_edit(empty_database: str, write_migrations: Write) -> None:
    folder = write_migrations({"0001_first": FIRST["0001_first"] + "\n-- end\n"})
    await migrate(empty_database, folder=folder)
    file = folder / "0001_first.sql"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert await migrate(empty_database, folder=folder) == []


async def test_a_renamed_migration_is_refused(empty_database: str, write_migrations: Write) -> None:
    folder = write_migrations(FIRST)
    await migrate(empty_database, folder=folder)
    (folder / "0001_first.sql").rename(folder / "0001_other.sql")
    with pytest.raises(MigrationError, match="its file is now called 0001_other"):
        await migrate(empty_database, folder=folder)


async def test_a_database_of_a_newer_build_is_left_alone(
    empty_database: str, write_migrations: Write
) -> None:
    folder = write_migrations(FIRST | SECOND)
    await migrate(empty_database, folder=folder)
    (folder / "0002_second.sql").unlink()
    assert await migrate(empty_database, folder=folder) == []
    assert [each.state for each in await status(empty_database, folder=folder)] == ["applied", "newer"]


async def test_a_migration_below_an_applied_one_is_refused(
    empty_database: str, write_migrations: Write
) -> None:
    folder = write_migrations(FIRST | SECOND)
    await migrate(empty_database, folder=folder)
    await fetch(empty_database, "DELETE FROM playlog.migration WHERE name = '0001_first'")
    with pytest.raises(MigrationError, match="0001_first comes before 0002_second, which is applied"):
        await migrate(empty_database, folder=folder)


async def test_a_held_migration_lock_is_waited_for_only_so_long(
    empty_database: str, write_migrations: Write
) -> None:
    holder = await asyncpg.connect(empty_database)
    try:
        await holder.execute(f"SELECT pg_advisory_lock({LOCK})")
        with pytest.raises(MigrationError, match=r"another migration has held the lock for 0\.3 s"):
            await migrate(empty_database, folder=write_migrations(FIRST), patience=0.3)
    finally:
        await holder.close()


async def test_a_busy_table_is_tried_again_until_it_is_free(
    empty_database: str, write_migrations: Write
) -> None:
    folder = write_migrations(FIRST)
    await migrate(empty_database, folder=folder)
    write_migrations(SECOND)
    reader = await asyncpg.connect(empty_database)
    try:
        transaction = reader.transaction()
        await transaction.start()
        await reader.execute("SELECT * FROM playlog.first")
        with pytest.raises(MigrationError, match="lock timeout"):
            await migrate(empty_database, folder=folder, patience=0)
        running = asyncio.create_task(migrate(empty_database, folder=folder, patience=30))
        await transaction.rollback()
        assert await running == ["0002_second"]
    finally:
        await reader.close()


async def test_pending_names_what_is_still_to_be_applied(
    empty_database: str, write_migrations: Write
) -> None:
    folder = write_migrations(FIRST | SECOND)
    connection = await asyncpg.connect(empty_database)
    try:
        assert await pending(connection, folder=folder) == ["0001_first", "0002_second"]
        await migrate(empty_database, folder=folder)
        assert await pending(connection, folder=folder) == []
    finally:
        await connection.close()


async def test_a_role_that_may_not_make_schemas_migrates_into_a_prepared_one(
    empty_database: str, write_migrations: Write
) -> None:
    await fetch(empty_database, "CREATE SCHEMA playlog")
    assert await migrate(empty_database, folder=write_migrations(FIRST)) == ["0001_first"]
