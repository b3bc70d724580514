"""Where the embedded servers keep their files, and who alone may use them.

`home` (the `.playlog/` of a project) holds the logs and the site: `config/`, `postgres/`, `nats/`, `run/`
and a lock for each server. When root starts the servers and their account cannot reach `home`, the site is
`<state_root>/<hash of home's path>` instead, and `home/data-directory` says so from then on.
Directories are made by the caller and handed over once; what the account owns is never written by root.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engine.errors import Misconfigured
from engine.runtime.embedded.account import Account, own_account, server_account

STATE_ROOT = Path("/var/lib/playlog")
POINTER = "data-directory"
SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 103
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")
LOCK_TEXT_BYTES = 64
PRIVATE = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The directories of one project's servers, and the account that runs them."""

    path: Path
    site: Path
    account: Account

    @property
    def config(self) -> Path:
        """Written anew at every start, by this process only."""
        return self.site / "config"

    def log(self, server: str) -> Path:
        """The log file of a server."""
        return self.path / "logs" / f"{server}.log"

    def make_private(self, directory: Path) -> Path:
        """Make `directory` (its parent exists) for the servers' account only; one that exists stays."""
        try:
            directory.mkdir(mode=PRIVATE)
        except FileExistsError:
            return directory
        self.account.own(directory)
        return directory

    def socket_directory(self) -> Path:
        """A private directory whose socket path the system accepts: in the site, else in a temporary place.

        Raises `Misconfigured` when the temporary place has the name, but is somebody else's.
        """
        inside = self.site / "run"
        if fits_socket(inside):
            return self.make_private(inside)
        short = Path(tempfile.gettempdir()) / f"playlog-{_hash(self.site)}"
        self.make_private(short)
        status = short.lstat()
        private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == PRIVATE
        mine = private and status.st_uid == self.account.uid
        if not (mine and fits_socket(short) and self.account.enters(short)):
            raise Misconfigured(
                f"{short} cannot hold the server's socket; set TMPDIR to a short private path"
            )
        return short

    def write(self, name: str, text: str) -> Path:
        """Write a file of the configuration, readable by the servers' account only, and return its path."""
        target = self.config / name
        fresh = self.config / f"{name}.new"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        self.account.own(fresh)
        return fresh.replace(target)


def fits_socket(directory: Path) -> bool:
    """Whether PostgreSQL and its clients take a socket in `directory`: short, and no character to quote."""
    path = str(directory / SOCKET_NAME)
    return len(path.encode()) <= LONGEST_SOCKET_PATH and PLAIN_PATH.fullmatch(path) is not None


def open_home(path: Path, *, state_root: Path = STATE_ROOT) -> Home:
    """Make what is missing below `path` and find its site; raises `Misconfigured` when it is not writable."""
    path = path.absolute()
    try:
        _make_ours(path)
        path = path.resolve()
        _make_ours(path / "logs")
        (path / ".gitignore").write_text("*\n")
        home = _site_of(path, state_root)
        _make_ours(home.config)
    except OSError as error:
        raise Misconfigured(f"{path} cannot hold the servers' files: {error}") from error
    return home


def _site_of(path: Path, state_root: Path) -> Home:
    pointer = path / POINTER
    if pointer.exists():
        site = Path(pointer.read_text().strip())
        _make_ours(site)
        return Home(path=path, site=site, account=server_account(site / "postgres"))
    account = server_account(path / "postgres")
    if account == own_account() or account.enters(path):
        return Home(path=path, site=path, account=account)
    site = state_root / _hash(path)
    _make_ours(site)
    if not account.enters(site):
        raise Misconfigured(
            f"neither {path} nor {site} can be reached by the account the servers run as "
            f"(number {account.uid}); run as an ordinary user"
        )
    pointer.write_text(f"{site}\n")
    return Home(path=path, site=site, account=account)


def _make_ours(directory: Path) -> None:
    """Make a directory of this process's user; as root, one that other accounts can pass through."""
    if directory.is_dir():
        return
    if os.geteuid() == 0:
        _make_passable(directory)
    else:
        directory.mkdir(mode=PRIVATE, parents=True, exist_ok=True)


def _make_passable(directory: Path) -> None:
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        each.chmod(0o711 if each == directory else 0o755)


def _hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


class Lock:
    """One process at a time uses a server of a home; the system frees it when that process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take it or raise `Misconfigured` naming the holder; taking it twice is once."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, LOCK_TEXT_BYTES).decode(errors="replace").strip()
            os.close(descriptor)
            raise Misconfigured(
                f"another playlog (process {holder or 'unknown'}) uses {self._path.parent}; "
                "stop it, or choose another directory",
                code="home_in_use",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Free it; without effect when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
