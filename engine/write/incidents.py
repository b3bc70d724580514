"""Incidents that deciding, an append or the scheduler opens."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from sql import queries

SQL = queries.load("incidents")

Incident = tuple[str, int | None, str, str]
"""Kind, execution, subject and detail."""


async def report(connection: asyncpg.Connection, incidents: Sequence[Incident]) -> None:
    """Open incidents; one that is open already is seen again, and the newest words count."""
    if incidents:
        await connection.execute(SQL.report, *zip(*incidents, strict=True))
