"""What nobody moves: finds it, opens an incident for it, and resolves the incident when it moves again."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from engine.domain.events import iso
from engine.domain.incidents import IncidentKind
from engine.write.store import columns
from sql import queries

SQL = queries.load("liveness")

LIVE_SECONDS = 60.0
"""A worker beats every ten seconds; one that has not for so long counts as gone."""
PAGE = 1_000
POOL, TOOL = IncidentKind.POOL_WITHOUT_WORKERS, IncidentKind.TOOL_WITHOUT_WORKERS
MOVED = [IncidentKind.STALLED.value, IncidentKind.UNDECIDABLE.value]

Incident = tuple[IncidentKind, int | None, str, str]
"""Kind, execution, subject and detail."""


async def watch_pools(connection: asyncpg.Connection, patience: float) -> None:
    """Incidents for commands that are due for `patience` seconds while no live worker would take them."""
    rows = await connection.fetch(SQL.unserved, patience, LIVE_SECONDS)
    oldest: dict[str, asyncpg.Record] = {}
    for row in rows:
        if not row["has_workers"]:
            known = oldest.setdefault(row["pool"], row)
            if row["since"] < known["since"]:
                oldest[row["pool"]] = row
    empty = [(POOL, None, pool, _no_workers(row)) for pool, row in oldest.items()]
    unable = [
        (TOOL, None, f"{row['pool']}/{row['tool']}", _no_tool(row)) for row in rows if row["has_workers"]
    ]
    async with connection.transaction():
        await report(connection, [*empty, *unable])
        for kind, incidents in ((POOL, empty), (TOOL, unable)):
            await connection.execute(
                SQL.resolve_others, kind.value, [subject for _, _, subject, _ in incidents]
            )


async def watch_deliveries(connection: asyncpg.Connection) -> None:
    """Incidents for messages between executions that fail again and again."""
    rows = await connection.fetch(SQL.failing_deliveries, PAGE)
    kind = IncidentKind.FAILING_DELIVERY
    found = [(kind, row["target_execution_id"], str(row["delivery_id"]), _failing(row)) for row in rows]
    async with connection.transaction():
        await report(connection, found)
        await connection.execute(SQL.resolve_delivered, kind.value)


async def report_stalled(connection: asyncpg.Connection, execution_ids: Sequence[int]) -> None:
    """Open, or see again, an incident for each of these executions in which nobody has the next move."""
    detail = "nothing of the execution is open, so that only its deadline can move it on"
    kind = IncidentKind.STALLED
    await report(connection, [(kind, each, str(each), detail) for each in execution_ids])


async def resolve_moved(connection: asyncpg.Connection) -> None:
    """Close the incidents of executions that were stuck and have moved on, ended or gone since."""
    await connection.execute(SQL.resolve_moved, MOVED)


async def report(connection: asyncpg.Connection, incidents: Sequence[Incident]) -> None:
    """Open incidents; one that is open already is seen again, and the newest words count."""
    if incidents:
        await connection.execute(SQL.report, *columns(incidents))


async def open_counts(connection: asyncpg.Connection) -> dict[str, int]:
    """How many incidents are open, of each kind that there is."""
    found: dict[str, int] = dict.fromkeys(IncidentKind, 0)
    return found | {row["kind"]: row["count"] for row in await connection.fetch(SQL.open_counts)}


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
