"""Compiled definitions of recent starts, so that inputs are checked without reading or compiling again."""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta

import asyncpg

from engine.domain.definition import Definition
from engine.domain.events import iso
from engine.write.catalog import Resolved, resolve
from engine.write.compiling import compiled
from sql import queries

SQL = queries.load("catalog")

DEFINITIONS_KEPT = 200


class Definitions:
    """The definitions that were resolved last, by hash."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Definition] = OrderedDict()

    async def resolve(
        self, connection: asyncpg.Connection, path: str, version: int | None
    ) -> tuple[Resolved, Definition]:
        """The given or newest version of a path, ready to be started, with its compiled definition.

        Raises `NotFound` for an unknown path or version and `Conflict` for a paused path.
        """
        known = dict(self._known)
        resolved = await resolve(connection, path, version, list(known))
        if resolved.canonical is None:
            return resolved, known[resolved.definition_hash]
        definition = await compiled(resolved.canonical)
        self._known[resolved.definition_hash] = definition
        if len(self._known) > DEFINITIONS_KEPT:
            self._known.popitem(last=False)
        return resolved, definition


async def fresh_deadline(connection: asyncpg.Connection, execution_id: int) -> dict[str, str]:
    """The `deadline` that an execution gets when it begins now; empty when nobody knows its definition."""
    row = await connection.fetchrow(SQL.definition_of, execution_id)
    if row is None:
        return {}
    definition = await compiled(row["canonical"].encode())
    return {"deadline": iso(row["moment"] + timedelta(seconds=definition.deadline))}
