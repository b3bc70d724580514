"""Where the embedded servers keep their files, and that one process at a time uses them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from engine.errors import Misconfigured
from engine.runtime.embedded import EmbeddedNats, EmbeddedPostgres, embedded
from engine.runtime.embedded.account import environment
from engine.runtime.embedded.home import LONGEST_SOCKET_PATH, open_home
from tests.support import servers

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another account")


@pytest.mark.parametrize(
    "folder", ["deep/" * 20, "a 'quoted' \"name\", with ü and 100%"], ids=["too deep", "odd characters"]
)
async def test_a_socket_goes_to_a_short_plain_path_when_the_home_has_none(home: Path, folder: str) -> None:
    odd = home.parent / folder / ".playlog"
    async with embedded(odd, database_url=None, nats_url=None) as running:
        assert running.postgres is not None
        assert not running.postgres.socket.is_relative_to(odd)
        assert len(str(running.postgres.socket)) < LONGEST_SOCKET_PATH
        async with servers.connected(running.database_url) as connection:
            assert await connection.fetchval("SELECT 1") == 1
    running.postgres.socket.rmdir()


def test_a_socket_directory_of_somebody_else_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(home.parent))
    deep = open_home(home.parent / ("deep/" * 20))
    wide_open = deep.socket_directory()
    wide_open.chmod(0o777)
    with pytest.raises(Misconfigured, match="cannot hold the server's socket"):
        deep.socket_directory()


@pytest.mark.parametrize("server", [EmbeddedPostgres, EmbeddedNats])
async def test_a_home_in_use_is_refused_with_the_holder_named(
    home: Path, server: type[EmbeddedPostgres | EmbeddedNats]
) -> None:
    first, second = server(home), server(home)
    await first.start()
    try:
        with pytest.raises(Misconfigured, match=f"process {os.getpid()}.*uses") as raised:
            await second.start()
        assert raised.value.code == "home_in_use"
        assert first.process.running
    finally:
        await first.stop()
    await second.start()
    await second.stop()


async def test_data_of_another_major_version_is_refused(home: Path) -> None:
    server = EmbeddedPostgres(home)
    await server.start()
    await server.stop()
    (server.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(Misconfigured, match=r"written by PostgreSQL 14.*install PostgreSQL 14") as raised:
        await server.start()
    assert raised.value.code == "postgres_version"
    assert str(server.data) in raised.value.detail


async def test_a_process_number_that_now_means_another_program_does_not_block_the_start(home: Path) -> None:
    server = EmbeddedPostgres(home)
    await server.start()
    await server.kill()
    status = server.data.stat()
    other = await asyncio.create_subprocess_exec(
        *("/bin/sleep", "60"),
        env=environment(),
        cwd="/",
        user=status.st_uid if os.geteuid() == 0 else None,
        group=status.st_gid if os.geteuid() == 0 else None,
    )
    sign = server.data / "postmaster.pid"
    lines = sign.read_text().splitlines()
    sign.write_text("\n".join([str(other.pid), *lines[1:], ""]))
    try:
        await server.start()
        assert other.returncode is None
    finally:
        other.kill()
        await other.wait()
        await server.stop()


async def test_a_half_made_data_directory_is_made_again(home: Path) -> None:
    half = half_made(home)
    server = EmbeddedPostgres(home)
    await server.start()
    await server.stop()
    assert "postgres.new" not in {each.name for each in half.parent.iterdir()}


@needs_root
async def test_servers_of_root_run_as_another_account(home: Path) -> None:
    async with embedded(home, database_url=None, nats_url=None) as running:
        for server in (running.postgres, running.nats):
            assert server is not None
            assert owner(server.process.pid) != 0


@needs_root
async def test_a_home_out_of_the_accounts_reach_keeps_its_data_elsewhere_and_says_where(home: Path) -> None:
    home.parent.chmod(0o700)
    with servers.temporary_home() as other:
        state_root = other / "state"
        for _ in range(2):
            server = EmbeddedPostgres(home, state_root=state_root)
            await server.start()
            await server.stop()
            assert (home / "data-directory").read_text() == f"{server.data.parent}\n"
            assert list(state_root.iterdir()) == [server.data.parent]
        assert home.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_home_that_cannot_be_written_is_refused(home: Path) -> None:
    folder = home
    folder.mkdir(mode=0o500)
    with pytest.raises(Misconfigured, match="cannot hold the servers' files"):
        await EmbeddedPostgres(home).start()


def half_made(home: Path) -> Path:
    half = home / "postgres.new"
    half.mkdir(parents=True)
    home.chmod(0o755)
    (half / "PG_VERSION").write_text("18\n")
    return half


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid
