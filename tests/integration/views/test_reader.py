"""The reader reads the views, and nothing else; it changes nothing."""

from __future__ import annotations

import asyncpg
import pytest

from tests.support.some_executions import SomeExecutions

VIEWS = "select relname from pg_class where relnamespace = 'playlog'::regnamespace and relkind = 'v'"
TABLES = """
select relname, relkind::text from pg_class
where relnamespace = 'playlog'::regnamespace and relkind in ('r', 'p', 'S')
"""
EXECUTABLE = """
select proname from pg_proc
where pronamespace = 'playlog'::regnamespace and has_function_privilege('playlog_reader', oid, 'execute')
order by 1
"""
WRITES = """
select relname, kind from pg_class, unnest(array['insert', 'update', 'delete', 'truncate', 'trigger']) as kind
where relnamespace = 'playlog'::regnamespace and relkind in ('r', 'p', 'v')
    and has_table_privilege('playlog_reader', pg_class.oid, kind)
"""
CHANGES = [
    "select playlog.new_ids(1)",
    "select playlog.empty_partition('202601')",
    "select playlog.lock_partition('event_202601', true)",
    "select playlog.drop_detached('event_202601')",
    "update playlog.v_incident set detail = ''",
    "delete from playlog.v_event",
    "create table playlog.mine ()",
]


async def test_the_reader_reads_every_view(some: SomeExecutions) -> None:
    views = [row["relname"] for row in await some.reader.fetch(VIEWS)]
    assert len(views) == 7
    for view in views:
        assert await some.reader.fetch(f"select * from playlog.{view}"), view
    assert await some.reader.fetchval("select playlog.views_version()") >= 1


async def test_the_reader_is_refused_every_table(some: SomeExecutions) -> None:
    tables = await some.reader.fetch(TABLES)
    assert len(tables) > 20
    for table in tables:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await some.reader.fetch(f"select * from playlog.{table['relname']}")


async def test_the_reader_may_write_nowhere(some: SomeExecutions) -> None:
    assert await some.reader.fetch(WRITES) == []
    for change in CHANGES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await some.reader.execute(change)


async def test_the_reader_calls_only_what_the_views_need(some: SomeExecutions) -> None:
    assert [row["proname"] for row in await some.reader.fetch(EXECUTABLE)] == [
        *("bits_of", "first_id_at", "moment_of", "open_units", "views_version"),
    ]


async def test_the_role_has_no_login_reads_only_and_stops_long_statements(some: SomeExecutions) -> None:
    role = await some.reader.fetchrow("select * from pg_roles where rolname = 'playlog_reader'")
    assert role is not None
    assert not role["rolcanlogin"]
    assert {"default_transaction_read_only=on", "statement_timeout=30s"} <= set(role["rolconfig"])
