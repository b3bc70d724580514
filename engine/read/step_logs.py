"""The lines that tools wrote, in the order in which they arrived: a reader that goes on misses none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from sql import queries

SQL = queries.load("step_logs")
WATCHING = queries.load("watching")

BYTES_AT_ONCE = 256 * 1024


class Place(NamedTuple):
    """A place in the order of arrival: the transaction that stored a line, and the line in it."""

    arrived: int = 0
    command_id: int = 0
    seq: int = -1


class Line(NamedTuple):
    """A line that a tool wrote."""

    place: Place
    step: str
    attempt: int
    stream: str
    line: str
    logged_at: datetime


@dataclass(slots=True)
class Lines:
    """Lines in order; whether the page is full, or more wait for older transactions; how the execution is."""

    status: str
    is_full: bool
    is_waiting: bool
    ended_seconds: float | None
    lines: list[Line]


async def after(
    connection: asyncpg.Connection,
    execution_id: int,
    place: Place,
    *,
    step: str | None = None,
    attempt: int | None = None,
    limit: int,
) -> Lines | None:
    """The lines after a place, at most `limit` and about 256 KiB; None for no execution, or a purged one."""
    rows = await connection.fetch(SQL.after, execution_id, *place, step, attempt, limit, BYTES_AT_ONCE)
    if not rows:
        return None
    lines = [_line(row) for row in rows if row["command_id"] is not None]
    is_full = len(lines) == limit or sum(len(line.line.encode()) for line in lines) >= BYTES_AT_ONCE
    return Lines(rows[0]["status"], is_full, rows[0]["is_waiting"], rows[0]["ended_seconds"], lines)


async def logged(connection: asyncpg.Connection, execution_ids: Sequence[int]) -> Mapping[int, int]:
    """A number by execution that grows with every line, and once more when it has ended."""
    rows = await connection.fetch(WATCHING.logged, execution_ids)
    return {row["execution_id"]: 2 * (row["arrived"] or 0) + row["is_ended"] for row in rows}


def _line(row: asyncpg.Record) -> Line:
    place = Place(row["arrived"], row["command_id"], row["seq"])
    return Line(place, row["step"], row["attempt"], row["stream"], row["line"], row["logged_at"])
