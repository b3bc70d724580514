"""The schema that the migrations make is the one on record, and its constraints bear names of ours.

`make schema` writes the record anew: it sets UPDATE_SCHEMA.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from sql.migration import read
from tests.support.schema_dump import dump

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

SQL = Path(__file__).parents[2] / "sql"
UPDATE = "UPDATE_SCHEMA" in os.environ

CONSTRAINTS = """
select t.relname as table_name, k.conname as name, k.contype::text as kind,
    array(
        select a.attname from unnest(k.conkey) with ordinality as c (attnum, place)
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = c.attnum order by c.place
    )::text[] as columns
from pg_constraint k
join pg_class t on t.oid = k.conrelid
where k.connamespace = 'playlog'::regnamespace and not t.relispartition and k.contype <> 'n'
"""
SUFFIXES = {"p": "pkey", "u": "key", "f": "fkey", "c": "check", "x": "excl"}


async def test_the_schema_is_the_one_on_record(connection: Connection) -> None:
    record = SQL / "schema.sql"
    now = await dump(connection)
    if UPDATE:
        record.write_text(now)
    assert now == record.read_text(), "run `make schema` and read the difference"


async def test_the_record_makes_the_same_schema_again(connection: Connection, empty_database: str) -> None:
    record = (SQL / "schema.sql").read_text()
    again = await asyncpg.connect(empty_database)
    try:
        await again.execute("create schema playlog")
        await again.execute(record)
        assert without_partitions(await dump(again)) == without_partitions(record)
    finally:
        await again.close()


def without_partitions(text: str) -> str:
    return re.sub(r"-- partitions like .*\n", "", text)


def test_a_migration_on_record_is_never_edited() -> None:
    """The record only grows: an edited, renamed or removed migration fails here and on every database."""
    record = SQL / "migrations" / "SHA256SUMS"
    now = {f"{each.name}.sql": each.checksum for each in read()}
    lines = record.read_text().splitlines() if record.exists() else []
    kept = {line[66:]: line[:64] for line in lines}
    if UPDATE:
        kept |= {name: checksum for name, checksum in now.items() if name not in kept}
        record.write_text("".join(f"{checksum}  {name}\n" for name, checksum in sorted(kept.items())))
    assert now == kept, "write a new migration; `make schema` adds it to the record"


def test_a_migration_has_no_way_back_and_leaves_the_transaction_to_the_runner() -> None:
    assert {entry.suffix for entry in (SQL / "migrations").iterdir()} <= {".sql", ""}
    for each in read():
        code = re.sub(r"\$\$.*?\$\$", "", re.sub(r"--.*", "", each.text), flags=re.DOTALL)
        assert not re.search(
            r"\b(begin|commit|rollback|savepoint)\b\s*(;|transaction|work)", code, re.IGNORECASE
        ), f"{each.name} controls its transaction"
        assert "down" not in each.name.split("_"), f"{each.name}: there is no way down"


async def test_every_constraint_has_a_name_of_ours(connection: Connection) -> None:
    rows = await connection.fetch(CONSTRAINTS)
    assert rows
    generated = [row["name"] for row in rows if is_generated(row["name"], row)]
    assert generated == []


def is_generated(name: str, row: asyncpg.Record) -> bool:
    suffix = SUFFIXES.get(row["kind"], "")
    parts = [row["table_name"], *row["columns"], suffix]
    if row["kind"] == "p":
        return bool(name == f"{row['table_name']}_pkey")
    candidates = ["_".join(parts), f"{row['table_name']}_{suffix}"]
    return any(re.fullmatch(re.escape(candidate) + r"\d*", name) for candidate in candidates)


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ("id bigint primary key", "p"),
        ("id bigint unique", "u"),
        ("id bigint check (id > 0)", "c"),
        ("id bigint, word text, check (id > length(word))", "c"),
        ("id bigint references playlog.execution", "f"),
    ],
)
async def test_a_generated_constraint_name_would_be_seen(
    connection: Connection, definition: str, kind: str
) -> None:
    await connection.execute(f"create table playlog.nameless ({definition})")
    rows = [row for row in await connection.fetch(CONSTRAINTS) if row["table_name"] == "nameless"]
    assert [row["kind"] for row in rows] == [kind]
    assert all(is_generated(row["name"], row) for row in rows)
