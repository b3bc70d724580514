"""The database itself refuses to change or remove what the log holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

INSERT = """
insert into playlog.event
    (execution_id, version, event_id, event_type, status, content_hash, created_at, recorded_at)
values ($1, 1, 7, 'execution.started', 'RUNNING', $2, now(), now())
"""
UPSERT = """
insert into playlog.event select * from playlog.event
on conflict (execution_id, version) do update set status = 'FAILED'
"""


@pytest.fixture
async def execution_id(connection: Connection) -> int:
    """An execution with one event in the log."""
    ids: list[int] = await connection.fetchval("select playlog.new_ids(1)")
    await connection.execute(INSERT, ids[0], bytes(16))
    return ids[0]


@pytest.mark.parametrize(
    "change",
    [
        "update playlog.event set status = 'FAILED'",
        "delete from playlog.event",
        "truncate playlog.event",
        UPSERT,
    ],
)
async def test_an_event_cannot_be_changed_or_removed(
    connection: Connection, execution_id: int, change: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await connection.execute(change)
    status = await connection.fetchval(
        "select status from playlog.event where execution_id = $1", execution_id
    )
    assert status == "RUNNING"


async def test_a_leaf_partition_refuses_the_same_change(connection: Connection, execution_id: int) -> None:
    leaf = await connection.fetchval(
        "select tableoid::regclass::text from playlog.event where execution_id = $1", execution_id
    )
    for change in (f"update {leaf} set status = 'FAILED'", f"delete from {leaf}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(change)


async def test_a_definition_cannot_be_changed_or_removed(connection: Connection) -> None:
    await connection.execute(
        "insert into playlog.definition (definition_hash, canonical) values ($1, '{}')", bytes(32)
    )
    for change in ("update playlog.definition set canonical = '[]'", "delete from playlog.definition"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(change)


async def test_what_operators_did_cannot_be_changed_or_removed(connection: Connection) -> None:
    await connection.execute("insert into playlog.audit (actor, action, subject) values ('a', 'b', 'c')")
    for change in (
        "update playlog.audit set actor = 'd'",
        "delete from playlog.audit",
        "truncate playlog.audit",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(change)
    assert await connection.fetchval("select actor from playlog.audit") == "a"
