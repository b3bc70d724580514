"""Compiled definitions of recent starts, so that inputs are checked without reading or compiling again."""

from __future__ import annotations

from collections import OrderedDict

import asyncpg

from engine.domain.definition import Definition
from engine.language import compile_definition
from engine.write.catalog import Resolved, resolve

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
        definition = compile_definition(resolved.canonical)
        self._known[resolved.definition_hash] = definition
        if len(self._known) > DEFINITIONS_KEPT:
            self._known.popitem(last=False)
        return resolved, definition
