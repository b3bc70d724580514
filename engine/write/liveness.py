"""What nobody moves: finds it, opens an incident for it, and resolves the incident when it moves again."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from engine.domain.events import iso
from engine.domain.incidents import IncidentKind
from engine.write.incidents import Incident, report
from sql import queries

SQL = queries.load("liveness")

LIVE_SECONDS = 60.0
"""A worker beats every ten seconds; one that has not for so long counts as gone."""
PAGE = 1_000
POOL, TOOL = IncidentKind.POOL_WITHOUT_WORKERS, IncidentKind.TOOL_WITHOUT_WORKERS
FAILING = IncidentKind.FAILING_DELIVERY
MOVED = [IncidentKind.STALLED.value, IncidentKind.UNDECIDABLE.value]


async def watch(connection: asyncpg.Connection, patience: float) -> dict[str, int]:
    """One look at what nobody moves; returns how many incidents of each kind are open after it.

    Opens them for commands that are due for `patience` seconds while no live worker would take them, and for
    messages between executions that fail again and again. Resolves those of whatever moves again.
    """
    unserved = _unserved(await connection.fetch(SQL.unserved, patience, LIVE_SECONDS))
    rows = await connection.fetch(SQL.failing_deliveries, PAGE)
    failing = [(FAILING, row["target_execution_id"], str(row["delivery_id"]), _failing(row)) for row in rows]
    await report(connection, [*unserved, *failing])
    counts = await _open_counts(connection)
    if not any(counts.values()):
        return counts
    for kind in (POOL, TOOL):
        subjects = [subject for other, _, subject, _ in unserved if other is kind]
        await connection.execute(SQL.resolve_others, kind.value, subjects)
    await connection.execute(SQL.resolve_delivered, FAILING.value)
    await connection.execute(SQL.resolve_moved, MOVED)
    return await _open_counts(connection)


async def report_stalled(connection: asyncpg.Connection, execution_ids: Sequence[int]) -> None:
    """Open, or see again, an incident for each of these executions in which nobody has the next move."""
    detail = "nothing of the execution is open, so that only its deadline can move it on"
    kind = IncidentKind.STALLED
    await report(connection, [(kind, each, str(each), detail) for each in execution_ids])


async def _open_counts(connection: asyncpg.Connection) -> dict[str, int]:
    found: dict[str, int] = {kind.value: 0 for kind in IncidentKind}
    return found | {row["kind"]: row["count"] for row in await connection.fetch(SQL.open_counts)}


def _unserved(rows: Sequence[asyncpg.Record]) -> list[Incident]:
    """One incident for each pool without any worker, and for each tool that the workers of a pool leave."""
    oldest: dict[str, asyncpg.Record] = {}
    unable: list[Incident] = []
    for row in rows:
        if row["has_workers"]:
            unable.append((TOOL, None, f"{row['pool']}/{row['tool']}", _no_tool(row)))
        elif row["pool"] not in oldest or row["since"] < oldest[row["pool"]]["since"]:
            oldest[row["pool"]] = row
    return [*((POOL, None, pool, _no_workers(row)) for pool, row in oldest.items()), *unable]


def _no_workers(row: asyncpg.Record) -> str:
    seen = "no worker of it is known"
    if row["seen_at"] is not None:
        seen = f"its last worker was seen at {iso(row['seen_at'])}"
    return f"commands of the pool {row['pool']} are due since {iso(row['since'])}; {seen}"


def _no_tool(row: asyncpg.Record) -> str:
    waiting = (
        f"commands of the pool {row['pool']} for the tool {row['tool']} are due since {iso(row['since'])}"
    )
    return f"{waiting}; its live workers take only other tools"


def _failing(row: asyncpg.Record) -> str:
    message = f"a message ({row['kind']}) to the execution {row['target_execution_id']}"
    return f"{message} of {iso(row['created_at'])} has failed {row['attempts']} times"
