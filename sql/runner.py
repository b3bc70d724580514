"""Applies the migrations in order, forward only, each once, whoever else is trying at the same time."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal

import asyncpg

from sql import migration, queries
from sql.migration import Migration, MigrationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from importlib.resources.abc import Traversable

    Connection = asyncpg.Connection[asyncpg.Record]

SQL = queries.load("migration")
LOCK = int.from_bytes(b"playlog")
_CONNECT_SECONDS = 10.0
_STATEMENT_SECONDS = 3600.0
_POLL_SECONDS = (0.05, 0.25)
_BUSY_SECONDS = (0.2, 1.0)
_LOCK_TIMEOUT = "2s"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """One migration as this build and the database see it; `newer` is known to the database only."""

    name: str
    state: Literal["applied", "pending", "edited", "newer"]
    applied_at: datetime | None


async def migrate(dsn: str, *, folder: Traversable = migration.FOLDER, patience: float = 300.0) -> list[str]:
    """Apply what is still to be applied and return its names, in order; nothing to do is an empty list.

    `dsn` must reach the server directly: the lock belongs to the session. `patience` (seconds) bounds
    the wait for another runner and for each migration's table locks. Raises `MigrationError`.
    """
    migrations = migration.read(folder)
    async with _direct(dsn) as connection, _alone(connection, patience):
        await connection.execute(_bootstrap())
        waiting = migration.outstanding(migrations, await _applied(connection))
        for each in waiting:
            await _apply(connection, each, patience)
    return [each.name for each in waiting]


async def status(dsn: str, *, folder: Traversable = migration.FOLDER) -> list[MigrationStatus]:
    """List every migration known to this build or to the database, in order; changes nothing."""
    known = {each.name: each for each in migration.read(folder)}
    async with _direct(dsn) as connection:
        rows = {row["name"]: row for row in await _rows(connection)}
    return [_status(name, known.get(name), rows.get(name)) for name in sorted(known.keys() | rows.keys())]


async def pending(connection: Connection, *, folder: Traversable = migration.FOLDER) -> list[str]:
    """Return the names still to be applied; raises `MigrationError` where `migrate` would refuse."""
    waiting = migration.outstanding(migration.read(folder), await _applied(connection))
    return [each.name for each in waiting]


async def make_roles(dsn: str) -> None:
    """Make the role that reads the views, where it is not there yet, and grant it the views of this build.

    `dsn` is that of the owner of the schema. Raises `MigrationError`, which says who may, or what is missing.
    """
    text = (resources.files("sql") / "roles.sql").read_text(encoding="utf-8")
    async with _direct(dsn) as connection:
        try:
            await connection.execute(text)
        except asyncpg.PostgresError as error:
            hint = getattr(error, "hint", None) or "Apply the migrations first: python -m sql up."
            raise MigrationError(f"no roles were made: {error.args[0]}. {hint}") from error


@asynccontextmanager
async def _direct(dsn: str) -> AsyncIterator[Connection]:
    settings = {
        "application_name": "playlog-migrate",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
    }
    connection = await asyncpg.connect(
        dsn,
        timeout=_CONNECT_SECONDS,
        command_timeout=_STATEMENT_SECONDS,
        statement_cache_size=0,
        server_settings=settings,
    )
    try:
        yield connection
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)


@asynccontextmanager
async def _alone(connection: Connection, patience: float) -> AsyncIterator[None]:
    # Polled: a session that blocks on the lock holds a snapshot, and CREATE INDEX CONCURRENTLY of the
    # lock's holder would wait for that snapshot.
    deadline = _now() + patience
    while not await connection.fetchval(SQL.try_lock, LOCK):
        if _now() >= deadline:
            raise MigrationError(f"another migration has held the lock for {patience:g} s; try again later")
        await _pause(_POLL_SECONDS)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.fetchval(SQL.unlock, LOCK)


async def _apply(connection: Connection, each: Migration, patience: float) -> None:
    try:
        if each.in_transaction:
            await _apply_when_free(connection, each, patience)
        else:
            await _apply_in_pieces(connection, each)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{each.name} failed: {error}") from error


async def _apply_when_free(connection: Connection, each: Migration, patience: float) -> None:
    # A short lock_timeout, repeated: waiting longer in the lock queue would stall every writer behind it.
    deadline = _now() + patience
    while True:
        try:
            return await _apply_at_once(connection, each)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if _now() >= deadline:
                raise
        await _pause(_BUSY_SECONDS)


async def _apply_at_once(connection: Connection, each: Migration) -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        await connection.execute(each.text)
        await _record(connection, each)


async def _apply_in_pieces(connection: Connection, each: Migration) -> None:
    for statement in each.statements():
        await connection.execute(statement)
    await _record(connection, each)


async def _record(connection: Connection, each: Migration) -> None:
    await connection.execute(SQL.record, each.name, each.checksum)


async def _applied(connection: Connection) -> dict[str, str]:
    return {row["name"]: row["checksum"] for row in await _rows(connection)}


async def _rows(connection: Connection) -> list[asyncpg.Record]:
    if not await connection.fetchval(SQL.has_table):
        return []
    return await connection.fetch(SQL.applied)


def _status(name: str, each: Migration | None, row: asyncpg.Record | None) -> MigrationStatus:
    if row is None:
        return MigrationStatus(name=name, state="pending", applied_at=None)
    if each is None:
        return MigrationStatus(name=name, state="newer", applied_at=row["applied_at"])
    edited = migration.is_edited(each, row["checksum"])
    return MigrationStatus(name=name, state="edited" if edited else "applied", applied_at=row["applied_at"])


def _bootstrap() -> str:
    return (resources.files("sql") / "bootstrap.sql").read_text(encoding="utf-8")


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _pause(bounds: tuple[float, float]) -> None:
    await asyncio.sleep(random.uniform(*bounds))  # noqa: S311  # jitter, not a secret
