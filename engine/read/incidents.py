"""Incidents that reading finds: executions that cannot be folded, messages that cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from engine.domain.incidents import IncidentKind
from engine.read.messages import execution_of
from sql import queries

SQL = queries.load("incidents")

POISON = IncidentKind.POISON_EXECUTION.value
UNREADABLE = IncidentKind.UNREADABLE_MESSAGE.value
MOST_HINDERING = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something stuck or broken; open while `resolved_at` is None."""

    incident_id: int
    kind: str
    execution_id: int | None
    subject: str
    detail: str
    opened_at: datetime
    seen_at: datetime
    resolved_at: datetime | None


async def incidents(
    connection: asyncpg.Connection, cursor: int, limit: int, *, is_open: bool | None = None
) -> tuple[list[Incident], int | None]:
    """A page below the cursor, newest first, and the cursor of the next page, if there is one.

    Only open ones with `is_open`, only resolved ones with False.
    """
    rows = await connection.fetch(SQL.page, cursor, limit + 1, is_open)
    page = [Incident(**row) for row in rows[:limit]]
    return page, page[-1].incident_id if len(rows) > limit else None


async def hindering(
    connection: asyncpg.Connection, execution_id: int, pools: Collection[str]
) -> list[Incident]:
    """The open incidents, oldest first, of an execution and of the pools whose workers it waits for."""
    rows = await connection.fetch(SQL.hindering, execution_id, list(pools), MOST_HINDERING)
    return [Incident(**row) for row in rows]


async def report_poison(connection: asyncpg.Connection, reasons: Mapping[int, str]) -> None:
    """Open, or word anew, one incident for each execution that cannot be folded."""
    if reasons:
        subjects = [str(execution_id) for execution_id in reasons]
        await _open(connection, POISON, list(reasons), subjects, list(reasons.values()))


async def report_unreadable(connection: asyncpg.Connection, reasons: Mapping[str, str]) -> None:
    """Open, or word anew, one incident for each subject whose message cannot be read."""
    if reasons:
        execution_ids = [execution_of(subject) for subject in reasons]
        await _open(connection, UNREADABLE, execution_ids, list(reasons), list(reasons.values()))


async def resolve_poison(connection: asyncpg.Connection, execution_ids: Iterable[int]) -> None:
    """Close the incidents of executions that can be folded again."""
    subjects = [str(execution_id) for execution_id in execution_ids]
    if subjects:
        await connection.execute(SQL.resolve, POISON, subjects)


async def _open(
    connection: asyncpg.Connection,
    kind: str,
    execution_ids: list[int] | list[int | None],
    subjects: list[str],
    details: list[str],
) -> None:
    await connection.execute(SQL.open, kind, execution_ids, subjects, details)
