"""Which account of the machine a server runs as: oneself, or an unprivileged one when that is root."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engine.errors import Misconfigured

UNPRIVILEGED = ("nobody", "daemon")
PASSED_ON = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
PROBE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account by its numbers."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Hand `path`, which the caller has just made, to this account."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def run(self, *command: str | Path, seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a command to its end as this account, in `/`; standard error goes where the output goes."""
        as_root = os.geteuid() == 0
        return subprocess.run(  # noqa: S603
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env=environment(),
            timeout=seconds,
            user=self.uid if as_root else None,
            group=self.gid if as_root else None,
            extra_groups=[] if as_root else None,
        )

    def runs(self, *command: str | Path) -> str | None:
        """What the command prints when this account runs it, or None when it cannot or fails."""
        try:
            done = self.run(*command, seconds=PROBE_SECONDS)
        except (OSError, ValueError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def enters(self, directory: Path) -> bool:
        """Whether this account can reach what lies in `directory`, asked of the system itself."""
        return self.runs("/bin/sh", "-c", 'cd "$1"', "sh", directory) is not None


def environment() -> dict[str, str]:
    """The environment of a server: nothing of the caller's `PG*` names reaches it."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", "TZ": "UTC"}


def own_account() -> Account:
    """The account this process runs as."""
    return Account(uid=os.geteuid(), gid=os.getegid())


def own_name() -> str:
    """The name of the account this process runs as; raises `Misconfigured` when the system knows none."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise Misconfigured(
            f"PostgreSQL cannot be started by account number {os.geteuid()}, which has no name here; "
            "add the account, or set PLAYLOG_DATABASE_URL to a server that runs"
        ) from None


def server_account(data: Path) -> Account:
    """The account for servers: oneself; when root, the owner of existing `data`, else an unprivileged one."""
    if os.geteuid() != 0:
        return own_account()
    if data.exists() and (status := data.stat()).st_uid != 0:
        return Account(uid=status.st_uid, gid=status.st_gid)
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        account = Account(uid=entry.pw_uid, gid=entry.pw_gid)
        if account.enters(Path("/")):
            return account
    raise Misconfigured(
        f"servers are not run as root, and it cannot become {' or '.join(UNPRIVILEGED)} here; run as an "
        "ordinary user, or set PLAYLOG_DATABASE_URL and PLAYLOG_NATS_URL to servers that run"
    )
