"""Permits of concurrency keys inside the append: taken when a command is issued, free when it is closed.

A permit is no row of its own that could be lost: it is what an open command has, and ends with it. The keys
are locked after the heads and before any command, so that whoever counts permits is the only one who gives
them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import asyncpg

from engine.domain.effects import Deliver, IssueCommand
from engine.domain.permits import Applicant, Line, Shares, share, withdrawal
from sql import queries

SQL = queries.load("permits")


@dataclass(slots=True)
class Shared:
    """What becomes of an append's commands, and of those of others.

    Of the issued ones, `held` wait and `refused` are never stored. Of others', `closed` are withdrawn, and
    `granted` need wait no longer: each with its pool.
    """

    held: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    deliveries: list[Deliver] = field(default_factory=list)
    granted: dict[int, str] = field(default_factory=dict)


async def share_permits(
    connection: asyncpg.Connection,
    issued: Iterable[IssueCommand],
    closed: Iterable[int],
    paused: Mapping[int, bool],
) -> Shared:
    """Serve the keys of these commands; locks them until the end of the transaction.

    `paused` are executions that are being paused (True), so that what they have in line is passed over, or
    resumed, so that it is not any more. Must come after the heads are locked, and before a command is
    stored or closed.
    """
    newcomers: defaultdict[str, list[Applicant]] = defaultdict(list)
    for command in issued:
        if command.permit is not None:
            newcomers[command.permit.key].append(_newcomer(command))
    closing = sorted(closed)
    resumed = [execution_id for execution_id, stops in paused.items() if not stops]
    stopped = [execution_id for execution_id, stops in paused.items() if stops]
    locked = await connection.fetch(SQL.lock, list(newcomers), closing, resumed)
    keys = [row["concurrency_key"] for row in locked]
    if not keys:
        return Shared()
    cancelling = [sum(each.strategy == "cancel_running" for each in newcomers[key]) for key in keys]
    rows = await connection.fetch(SQL.lines, keys, cancelling, closing, resumed, stopped)
    lines = _lines(rows)
    pools = {row["command_id"]: row["pool"] for row in rows}
    shared = Shared()
    for key in keys:
        _serve(shared, share(lines[key], newcomers[key]), pools)
    return shared


def _newcomer(command: IssueCommand) -> Applicant:
    if command.permit is None:
        raise ValueError("the command needs no permit")
    return Applicant(
        command_id=command.command_id,
        execution_id=command.execution_id,
        step=command.step,
        item=command.item,
        attempt=command.attempt,
        priority=command.priority,
        available_at=command.available_at,
        limit=command.permit.limit,
        strategy=command.permit.strategy,
        is_new=True,
        is_ready=not command.held,
    )


def _lines(rows: Iterable[asyncpg.Record]) -> dict[str, Line]:
    lines: defaultdict[str, Line] = defaultdict(Line)
    for row in rows:
        line = lines[row["concurrency_key"]]
        line.holding = row["holding"]
        if row["command_id"] is not None:
            (line.waiting if row["is_waiting"] else line.longest).append(_known(row))
    return lines


def _known(row: asyncpg.Record) -> Applicant:
    return Applicant(
        command_id=row["command_id"],
        execution_id=row["execution_id"],
        step=row["step"],
        item=row["item"],
        attempt=row["attempt"],
        priority=row["priority"],
        available_at=row["available_at"],
        limit=row["concurrency_limit"],
    )


def _serve(shared: Shared, shares: Shares, pools: Mapping[int, str]) -> None:
    shared.granted |= {command_id: pools[command_id] for command_id in shares.granted.keys() & pools.keys()}
    shared.held |= {command_id for command_id, each in shares.waiting.items() if each.is_new}
    for command_id, (each, kind) in shares.withdrawn.items():
        (shared.refused if each.is_new else shared.closed).add(command_id)
        shared.deliveries.append(withdrawal(each, kind))
