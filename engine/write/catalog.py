"""Playbooks: registering immutable definitions under versions, and resolving what a start needs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from engine.errors import Conflict, NotFound
from engine.language import ParsedPlaybook
from sql import queries

SQL = queries.load("catalog")


@dataclass(frozen=True, slots=True)
class Registered:
    """A playbook version; `created` says whether this call made it."""

    path: str
    version: int
    definition_hash: bytes
    created: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    """A playbook version ready to be started: a fresh execution id and the database's clock with it.

    `canonical` is None when the caller said that it knows the definition already.
    """

    path: str
    version: int
    definition_hash: bytes
    execution_id: int
    moment: datetime
    canonical: bytes | None


async def register(connection: asyncpg.Connection, playbook: ParsedPlaybook, source: str) -> Registered:
    """Store a validated playbook as the newest version of its path; the same content is a no-op."""
    async with connection.transaction():
        await connection.execute(SQL.lock_playbook, playbook.path)
        latest = await connection.fetchrow(SQL.latest, playbook.path)
        if latest is not None and latest["definition_hash"] == playbook.hash:
            return Registered(playbook.path, latest["latest_version"], playbook.hash, created=False)
        version = 1 if latest is None else latest["latest_version"] + 1
        await connection.execute(SQL.insert_definition, playbook.hash, playbook.canonical.decode())
        await connection.execute(SQL.upsert_playbook, playbook.path, version)
        await connection.execute(
            SQL.insert_version,
            playbook.path,
            version,
            playbook.hash,
            source,
            playbook.description,
            playbook.owner,
            list(playbook.tags),
        )
    return Registered(playbook.path, version, playbook.hash, created=True)


async def resolve(
    connection: asyncpg.Connection, path: str, version: int | None, known: Collection[bytes] = ()
) -> Resolved:
    """The given or newest version of a path, for a start now.

    Raises `NotFound` for an unknown path or version and `Conflict` for a paused path.
    """
    row = await connection.fetchrow(SQL.resolve, path, version, list(known))
    if row is None:
        what = path if version is None else f"{path} version {version}"
        raise NotFound(f"there is no playbook {what}", code="unknown_playbook")
    if row["paused"]:
        raise Conflict(f"the playbook {path} is paused", code="paused")
    canonical = row["canonical"]
    return Resolved(
        path=row["path"],
        version=row["version"],
        definition_hash=row["definition_hash"],
        execution_id=row["fresh_id"],
        moment=row["moment"],
        canonical=None if canonical is None else canonical.encode(),
    )


async def pause(connection: asyncpg.Connection, path: str, *, paused: bool) -> None:
    """Stop or allow new executions of a path; raises `NotFound`."""
    if await connection.fetchval(SQL.pause, path, paused) is None:
        raise NotFound(f"there is no playbook {path}", code="unknown_playbook")
