"""Timers: what is due, as appends that are judged under the head."""

from __future__ import annotations

import asyncpg

from engine.domain.admit import Origin
from engine.domain.effects import EXECUTION_TIMER
from engine.domain.ids import derive_id
from engine.domain.vocabulary import EventType
from engine.write.executions import engine_event
from engine.write.requests import Request
from sql import queries

SQL = queries.load("timers")


async def due(connection: asyncpg.Connection, limit: int) -> list[Request]:
    """Appends for timers that are due, longest due first."""
    return [_fired(row, row["timer_key"], row["due_at"]) for row in await connection.fetch(SQL.due, limit)]


async def overdue(connection: asyncpg.Connection, after: int, limit: int) -> tuple[list[Request], int | None]:
    """Appends for live executions of one page whose deadline has passed, and where the next page begins.

    Deadlines far away have no timer of their own; None means that this page was the last.
    """
    rows = await connection.fetch(SQL.live_page, after, limit)
    passed = [_fired(row, EXECUTION_TIMER, row["deadline"]) for row in rows if row["is_overdue"]]
    return passed, rows[-1]["execution_id"] if len(rows) == limit else None


async def postpone(connection: asyncpg.Connection, request: Request, seconds: float) -> None:
    """Let a timer that is still due wait behind the others; when it may fire is for the log to say."""
    await connection.execute(SQL.postpone, request.execution_id, _key(request), seconds)


async def forget(connection: asyncpg.Connection, request: Request) -> None:
    """Drop the timer of an execution that does not exist."""
    await connection.execute(SQL.forget, request.execution_id, _key(request))


def _key(request: Request) -> str:
    payload = request.events[0].payload
    return str(payload["timer"]) if isinstance(payload, dict) else ""


def _fired(row: asyncpg.Record, key: str, due_at: object) -> Request:
    execution_id = row["execution_id"]
    event = engine_event(
        EventType.TIMER_FIRED,
        {"timer": key},
        event_id=derive_id("timer", execution_id, key, str(due_at)),
    )
    return Request(execution_id=execution_id, events=(event,), origin=Origin.ENGINE)
