"""Playbooks as readers see them: one, a list, and the versions of a path."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg
import orjson

from engine.domain.events import iso
from engine.read.describe import Json
from sql import queries

SQL = queries.load("playbooks")

NEWEST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookFilters:
    """What a list is narrowed to; `search` looks into path and description."""

    search: str | None = None
    tag: str | None = None
    owner: str | None = None
    paused: bool | None = None


async def get(connection: asyncpg.Connection, path: str, version: int | None = None) -> Json | None:
    """A playbook in one version, the newest by default, with source and canonical definition."""
    row = await connection.fetchrow(SQL.one, path, version)
    if row is None:
        return None
    return {
        **_about(row),
        "path": row["path"],
        "paused": row["paused"],
        "latest_version": row["latest_version"],
        "source": row["source"],
        "definition": orjson.loads(row["canonical"]),
    }


async def list_playbooks(
    connection: asyncpg.Connection, filters: PlaybookFilters, *, after: str = "", limit: int = 20
) -> list[Json]:
    """Playbooks in their newest version, in order of their paths, after a path."""
    narrowed = (filters.search, filters.tag, filters.owner, filters.paused)
    rows = await connection.fetch(SQL.page, after, limit, *narrowed)
    return [{"path": row["path"], "paused": row["paused"], **_about(row)} for row in rows]


async def versions(
    connection: asyncpg.Connection, path: str, *, below: int = NEWEST, limit: int = 20
) -> list[Json]:
    """The versions of a path, newest first, below a version; empty for an unknown path."""
    rows = await connection.fetch(SQL.versions, path, below, limit)
    return [{"path": path, **_about(row)} for row in rows]


def _about(row: asyncpg.Record) -> Json:
    return {
        "version": row["version"],
        "hash": row["definition_hash"].hex(),
        "description": row["description"],
        "owner": row["owner"],
        "tags": row["tags"],
        "created_at": iso(row["created_at"]),
    }
