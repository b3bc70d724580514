"""The purge: rows beyond their retention go in small transactions, so that nothing waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import asyncpg

from engine.errors import Invalid
from sql import queries

COMMANDS = queries.load("commands")
SQL = queries.load("purge")

BATCH = 1_000
IDEMPOTENCY_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How many rows of each kind went, or would go in a dry run; no partition of the log ever does."""

    commands_purged: int
    runtime_purged: int
    idempotency_purged: int
    events_purged: int = 0
    event_partitions_dropped: int = 0
    held: list[dict[str, str]] = field(default_factory=list)
    dry_run: bool = False


async def purge(
    connection: asyncpg.Connection,
    *,
    command_retention_days: int = 7,
    runtime_stale_minutes: int = 60,
    event_retention_days: int = 0,
    dry_run: bool = False,
) -> Purged:
    """Remove closed commands, stale runtime entries and old idempotency answers; 0 or less skips a kind.

    Must not run inside a transaction: each batch of 1,000 commits by itself. Callers' own keys of
    executions stay. Raises `Invalid` (not_supported) for a positive `event_retention_days`: this build
    removes nothing of the log.
    """
    if event_retention_days > 0:
        raise Invalid("event_retention_days can only be 0: no event is removed", code="not_supported")
    kinds = {
        "commands": (COMMANDS.purge, COMMANDS.count_purgeable, command_retention_days),
        "runtime": (SQL.runtime, SQL.count_runtime, runtime_stale_minutes),
        "idempotency": (SQL.idempotency, SQL.count_idempotency, IDEMPOTENCY_DAYS),
    }
    counts = {}
    for kind, (statement, count, age) in kinds.items():
        if age <= 0:
            counts[kind] = 0
        elif dry_run:
            counts[kind] = await connection.fetchval(count, age)
        else:
            counts[kind] = await _remove(connection, statement, age)
    return Purged(
        commands_purged=counts["commands"],
        runtime_purged=counts["runtime"],
        idempotency_purged=counts["idempotency"],
        dry_run=dry_run,
    )


async def _remove(connection: asyncpg.Connection, statement: str, age: int) -> int:
    removed = 0
    while True:
        status = await connection.execute(statement, age, BATCH)
        batch = int(status.rpartition(" ")[2])
        removed += batch
        if batch < BATCH:
            return removed
