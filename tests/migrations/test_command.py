"""`python -m sql` says plainly what it did, and its exit code says whether that is enough."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg
import pytest

from sql.migration import read
from tests.support.tree import ROOT

NAMES = [each.name for each in read()]
UNREACHABLE = "postgresql://nobody@127.0.0.1:1/nothing"


async def run(verb: str, **urls: str) -> tuple[int | None, list[str], str]:
    """Run the command with just these PLAYLOG_ variables; return its exit code, lines and complaints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLAYLOG_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sql", verb),
        cwd=ROOT,
        env=inherited | urls,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode().splitlines(), err.decode()


async def test_up_names_what_it_applied_and_is_content_the_second_time(empty_database: str) -> None:
    done = "the database is up to date"
    first = await run("up", PLAYLOG_DATABASE_URL=empty_database)
    assert first == (0, [*(f"applied  {name}" for name in NAMES), done], "")
    assert await run("up", PLAYLOG_DATABASE_URL=empty_database) == (0, [done], "")


async def test_status_fails_while_something_is_pending(empty_database: str) -> None:
    code, lines, _ = await run("status", PLAYLOG_DATABASE_URL=empty_database)
    assert (code, lines) == (1, [f"pending  {name}" for name in NAMES])


async def test_status_tells_when_each_migration_was_applied(database_url: str) -> None:
    code, lines, _ = await run("status", PLAYLOG_DATABASE_URL=database_url)
    assert code == 0
    assert [line.split()[:2] for line in lines] == [["applied", name] for name in NAMES]


async def test_the_direct_address_is_preferred(database_url: str) -> None:
    code, _, _ = await run(
        "status", PLAYLOG_MIGRATION_DATABASE_URL=database_url, PLAYLOG_DATABASE_URL=UNREACHABLE
    )
    assert code == 0


async def test_a_refusal_is_one_line_and_exit_code_1(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "update playlog.migration set checksum = repeat('0', 64) where name = $1", NAMES[0]
    )
    await connection.close()
    code, lines, complaint = await run("up", PLAYLOG_DATABASE_URL=database_url)
    assert (code, lines) == (1, [])
    assert (
        complaint
        == f"{NAMES[0]} was edited after it was applied; restore the file and write a new migration\n"
    )


@pytest.mark.parametrize(
    ("urls", "complaint"),
    [
        ({}, "set PLAYLOG_MIGRATION_DATABASE_URL (a direct connection) or PLAYLOG_DATABASE_URL"),
        ({"PLAYLOG_DATABASE_URL": UNREACHABLE}, "the database cannot be used: "),
        ({"PLAYLOG_DATABASE_URL": "mysql://x"}, "the database cannot be used: "),
    ],
)
async def test_without_a_usable_database_the_exit_code_is_2(urls: dict[str, str], complaint: str) -> None:
    code, lines, error = await run("up", **urls)
    assert (code, lines) == (2, [])
    assert error.startswith(complaint)
    assert "Traceback" not in error


async def test_an_owner_who_may_not_make_roles_is_told_who_may(database_url: str) -> None:
    code, lines, error = await run("roles", PLAYLOG_DATABASE_URL=database_url)
    assert (code, lines) == (1, [])
    assert error == (
        "no roles were made: only an administrator may make the role playlog_reader. "
        "Let one run: create role playlog_reader nologin; then run this again.\n"
    )
