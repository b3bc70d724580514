"""The data directory of an embedded PostgreSQL: made once, checked and configured before every start."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import Misconfigured
from engine.runtime.embedded.account import own_account, own_name

if TYPE_CHECKING:
    from engine.runtime.embedded.binaries import PostgresPrograms
    from engine.runtime.embedded.home import Home

INITDB_SECONDS = 120.0
POLL_SECONDS = 0.05
BUILTIN_LOCALES_SINCE = 17
SETTINGS = """\
listen_addresses = ''
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
hba_file = '{hba}'
ident_file = '{ident}'
max_connections = 200
shared_buffers = 128MB
fsync = on
full_page_writes = on
synchronous_commit = on
wal_level = replica
max_wal_senders = 0
max_wal_size = 2GB
min_wal_size = 128MB
checkpoint_timeout = 15min
logging_collector = off
log_checkpoints = off
log_line_prefix = '%m [%p] '
timezone = 'UTC'
log_timezone = 'UTC'
"""


def written_major(data: Path) -> int | None:
    """The version that wrote `data`, or None if there is none; raises `Misconfigured` when unreadable."""
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
    except (PermissionError, ValueError) as error:
        raise Misconfigured(
            f"{data} is not a data directory that this account can use ({error}); start as the account that "
            "made it, or move the directory away to begin with an empty one"
        ) from error


def check_major(data: Path, written: int, programs: PostgresPrograms) -> None:
    """Raise `Misconfigured` when the data is of another major version than the programs."""
    if written != programs.major:
        raise Misconfigured(
            f"the data in {data} was written by PostgreSQL {written}, but the programs in {programs.folder} "
            f"are PostgreSQL {programs.major}; install PostgreSQL {written}, or set PLAYLOG_DATABASE_URL to "
            "a server that holds a dump of the data, or move the directory away to begin with an empty one",
            code="postgres_version",
        )


def initialise(programs: PostgresPrograms, home: Home, data: Path, *, superuser: str) -> None:
    """Make `data` under another name first, so that a half-made directory is never taken for data."""
    fresh = data.with_name("postgres.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    home.make_private(fresh)
    options = ["--username", superuser, "--encoding=UTF8", "--locale=C", "--no-instructions"]
    if programs.major >= BUILTIN_LOCALES_SINCE:
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += ["--auth-local=peer", "--auth-host=scram-sha-256", "--pgdata"]
    done = home.account.run(programs.folder / "initdb", *options, fresh, seconds=INITDB_SECONDS)
    if done.returncode != 0:
        raise Misconfigured(f"initdb could not make {data}:\n{done.stdout.strip()}", code="initdb_failed")
    fresh.rename(data)
    _sync(data.parent)


def _sync(directory: Path) -> None:
    """Make a rename in `directory` survive a power cut, like the data that will follow."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def configure(home: Home, socket: Path, roles: tuple[str, ...]) -> Path:
    """Write the configuration: the account of this process, and no other, may connect, as any of `roles`."""
    user = own_name()
    ident = "".join(f'owner "{user}" {role}\n' for role in roles)
    values = {
        "socket": socket,
        "hba": home.write("pg_hba.conf", "local all all peer map=owner\n"),
        "ident": home.write("pg_ident.conf", ident),
    }
    quoted = {name: str(value).replace("'", "''") for name, value in values.items()}
    return home.write("postgresql.conf", SETTINGS.format(**quoted))


async def predecessor_gone(data: Path, seconds: float) -> None:
    """Wait for a server that its dead parent left ending; take away the sign of one that ended unseen.

    PostgreSQL refuses to start while the process number in `postmaster.pid` lives, whatever it is by now.
    """
    sign = data / "postmaster.pid"
    deadline = time.monotonic() + seconds
    while True:
        pid = _first_number(sign)
        if pid is None or str(data) not in await asyncio.to_thread(_command_line, pid):
            break
        if time.monotonic() > deadline:
            raise Misconfigured(
                f"PostgreSQL (process {pid}) still runs on {data}; stop it first", code="home_in_use"
            )
        await asyncio.sleep(POLL_SECONDS)
    sign.unlink(missing_ok=True)


def _first_number(sign: Path) -> int | None:
    try:
        return int(sign.read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _command_line(pid: int) -> str:
    """The command line of a live process, or an empty string."""
    if not Path("/proc/self/cmdline").exists():
        return own_account().runs("/bin/ps", "-p", str(pid), "-o", "command=") or ""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
