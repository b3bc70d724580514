"""The purge: rows beyond their retention go in small transactions, the log by whole partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

import asyncpg

from engine.write.audit import note
from engine.write.retention import Given, purge_log
from sql import queries

COMMANDS = queries.load("commands")
SQL = queries.load("purge")

BATCH = 1_000
IDEMPOTENCY_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long to keep what; 0 or less keeps for ever. A dry run only says what would go.

    Events and dead outbox messages are kept unless a policy says otherwise.
    """

    command_retention_days: int = 7
    runtime_stale_minutes: int = 60
    event_retention_days: int = 0
    dead_retention_days: int = 0
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How many rows of each kind went, or would go in a dry run.

    `events_purged` counts partitions of the log. They are dropped too, except the one that holds everything
    before the first month. `held` are the partitions that are old enough, each with why it stays.
    """

    commands_purged: int
    runtime_purged: int
    idempotency_purged: int
    outbox_purged: int
    events_purged: int = 0
    event_partitions_dropped: int = 0
    payload_partitions_dropped: int = 0
    log_partitions_dropped: int = 0
    executions_purged: int = 0
    snapshots_purged: int = 0
    held: list[dict[str, str]] = field(default_factory=list)
    dry_run: bool = False


async def purge(
    connection: asyncpg.Connection, policy: Policy, *, actor: str = "playlog", moment: datetime | None = None
) -> Purged:
    """Remove closed commands, stale runtime entries, old answers, dead messages and partitions of the log.

    Must not run inside a transaction: each batch of 1,000 commits by itself. Callers' own keys go with
    their executions. What may take parts of the log or messages is audited before it begins, as done by
    `actor`. `moment` stands for now where partitions are judged, by default the database's.
    """
    if not policy.dry_run and max(policy.event_retention_days, policy.dead_retention_days) > 0:
        await note(connection, "log.purge", "log", asdict(policy), actor=actor)
    kinds = {
        "commands": (COMMANDS.purge, COMMANDS.count_purgeable, policy.command_retention_days),
        "runtime": (SQL.runtime, SQL.count_runtime, policy.runtime_stale_minutes),
        "idempotency": (SQL.idempotency, SQL.count_idempotency, IDEMPOTENCY_DAYS),
        "outbox": (SQL.dead, SQL.count_dead, policy.dead_retention_days),
    }
    counts = {}
    for kind, (statement, count, age) in kinds.items():
        if age <= 0:
            counts[kind] = 0
        elif policy.dry_run:
            counts[kind] = await connection.fetchval(count, age)
        else:
            counts[kind] = await _remove(connection, statement, age)
    given = await purge_log(connection, policy.event_retention_days, dry_run=policy.dry_run, moment=moment)
    return _purged(counts, given, dry_run=policy.dry_run)


def _purged(counts: Mapping[str, int], given: Given, *, dry_run: bool) -> Purged:
    cleared = given.cleared
    return Purged(
        commands_purged=counts["commands"],
        runtime_purged=counts["runtime"],
        idempotency_purged=counts["idempotency"] + cleared.keys,
        outbox_purged=counts["outbox"],
        events_purged=given.emptied,
        event_partitions_dropped=cleared.dropped["event"],
        payload_partitions_dropped=cleared.dropped["payload"],
        log_partitions_dropped=cleared.dropped["step_log"],
        executions_purged=cleared.executions,
        snapshots_purged=cleared.snapshots,
        held=[asdict(each) for each in given.held],
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
