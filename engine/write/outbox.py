"""The outbox over HTTP: messages leased to claimers that publish by themselves, counts, and the dead ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from engine.domain.ids import SHARDS
from engine.domain.messages import Span, header_lines, headers
from engine.errors import NotFound
from engine.write.audit import listed, note
from engine.write.parking import MAX_DELAY_SECONDS, Failure, park
from engine.write.shards import forget_checkpoints, lock, lock_all, note_published, prefer_indexes
from sql import queries

SQL = queries.load("outbox")

LEASE_SECONDS = 60
COUNTED_EXACTLY = 10_000
DEAD_PAGE = 100
SAMPLED_PAGES = 500
ESTIMABLE = ("pending", "in_flight", "parked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message leased until `leased_until`; `payload` is JSON, `attempts` counts this claim too."""

    outbox_id: int
    event_id: int
    execution_id: int
    first_version: int
    last_version: int
    subject: str
    payload: bytes
    headers: dict[str, str]
    attempts: int
    lease_token: int
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class Published:
    """How many messages were settled now, and those whose given lease token is not current any more."""

    marked: int
    stale: list[int]


@dataclass(frozen=True, slots=True)
class Failed:
    """Whether a message was set aside, and for how many seconds; `stale` when its lease is another's."""

    marked: bool
    available_at_in: int = 0
    stale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Claimable now, leased, both together, parked, dead; exact up to 10,000 each, unless `estimated`.

    `oldest_age_seconds` is the age of the oldest message, None when there is none.
    """

    pending: int
    in_flight: int
    backlog: int
    parked: int
    dead: int
    oldest_age_seconds: float | None
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A message given up."""

    outbox_id: int
    execution_id: int
    first_version: int
    last_version: int
    event_id: int
    subject: str
    attempts: int
    last_error: str | None
    created_at: datetime
    died_at: datetime


async def claim(
    connection: asyncpg.Connection, limit: int, lease_seconds: int = LEASE_SECONDS, per_execution: int = 1
) -> list[Claimed]:
    """Lease the oldest due messages, at most `per_execution` of one execution; expired leases are due.

    More than one only suits callers that stop an execution at its first failure. Shards that a publisher
    is passing over, or that are being refilled, give nothing.
    """
    async with connection.transaction():
        await prefer_indexes(connection)
        owned = {
            shard.shard: shard.generation
            for shard in await lock(connection, SHARDS)
            if shard.refill_after is None
        }
        rows = await connection.fetch(SQL.lease, list(owned), limit, float(lease_seconds), per_execution)
    rows.sort(key=lambda row: row["outbox_id"])
    return [_claimed(row, owned[row["shard"]]) for row in rows]


def _claimed(row: asyncpg.Record, generation: int) -> Claimed:
    span = Span(row["execution_id"], row["first_version"], row["last_version"])
    return Claimed(
        outbox_id=row["outbox_id"],
        event_id=row["event_id"],
        execution_id=row["execution_id"],
        first_version=row["first_version"],
        last_version=row["last_version"],
        subject=row["subject"],
        payload=row["payload"].encode(),
        headers=headers(header_lines(span, generation, row["created_at"], row["traceparent"])),
        attempts=row["attempts"],
        lease_token=row["lease_token"],
        leased_until=row["leased_until"],
    )


async def mark_published(
    connection: asyncpg.Connection,
    outbox_ids: Sequence[int],
    lease_tokens: Sequence[int | None] | None = None,
) -> Published:
    """Delete published messages; repeating it counts nothing.

    `lease_tokens` go with the ids in order; a message whose token is not the current one stays.
    """
    tokens = [None] * len(outbox_ids) if lease_tokens is None else list(lease_tokens)
    given = dict(zip(outbox_ids, tokens, strict=True))
    async with connection.transaction():
        rows = await connection.fetch(SQL.settle_published, list(given), list(given.values()))
        if rows:
            await note_published(connection, list({row["shard"] for row in rows}))
        settled = {row["outbox_id"] for row in rows}
        doubtful = [
            outbox_id for outbox_id, token in given.items() if token is not None and outbox_id not in settled
        ]
        stale = await _still_waiting(connection, doubtful)
    return Published(len(settled), stale)


async def mark_failed(
    connection: asyncpg.Connection,
    outbox_id: int,
    error: str,
    attempts: int = 1,
    max_delay_seconds: int = MAX_DELAY_SECONDS,
    lease_token: int | None = None,
) -> Failed:
    """Set a message aside for min(max_delay_seconds, 2^min(8, max(0, attempts - 1))) seconds.

    The error is kept to 2,000 characters. A message that was published already is not marked.

    Raises:
        NotFound: no message ever had this id.
    """
    failure = Failure(
        outbox_id=outbox_id,
        error=error,
        attempts=attempts,
        max_delay_seconds=max_delay_seconds,
        lease_token=lease_token,
    )
    async with connection.transaction():
        parked = await park(connection, [failure])
    if outbox_id in parked.outbox_ids:
        return Failed(marked=True, available_at_in=failure.delay)
    if not await connection.fetchval(SQL.was_given, outbox_id):
        raise NotFound("no outbox message ever had this id")
    return Failed(marked=False, stale=bool(await _still_waiting(connection, [outbox_id])))


async def pending_count(connection: asyncpg.Connection) -> Pending:
    """Count what waits, in milliseconds whatever its number; database errors are raised, never a zero."""
    most = COUNTED_EXACTLY + 1
    async with connection.transaction():
        await prefer_indexes(connection)
        row = await connection.fetchrow(SQL.pending_count, most, SAMPLED_PAGES)
    if row is None:
        raise LookupError("a count has a row")
    exact = {kind: row[kind] for kind in ESTIMABLE if row[kind] is not None and row[kind] < most}
    counts = {
        kind: exact[kind] if kind in exact else max(most, round(row[f"{kind}_sampled"])) for kind in ESTIMABLE
    }
    return Pending(
        **counts,
        backlog=counts["pending"] + counts["in_flight"],
        dead=row["dead"],
        oldest_age_seconds=row["oldest_age_seconds"],
        estimated=len(exact) < len(ESTIMABLE) or row["dead"] >= most,
    )


async def dead(
    connection: asyncpg.Connection, cursor: int | None = None, limit: int = DEAD_PAGE
) -> tuple[list[Dead], int | None]:
    """Messages given up, newest first, below the cursor; and the cursor of the next page, if there is one."""
    rows = await connection.fetch(SQL.dead, cursor, limit + 1)
    page = [Dead(**row) for row in rows[:limit]]
    return page, page[-1].outbox_id if len(rows) > limit else None


async def redrive(
    connection: asyncpg.Connection, outbox_ids: Sequence[int] | None = None, *, actor: str
) -> int:
    """Put dead messages (None: all) back to be published, in their old places; returns how many there were.

    Where later messages of an execution were published meanwhile, consumers get an older span late and
    know it by (execution, version).
    """
    wanted = None if outbox_ids is None else list(outbox_ids)
    async with connection.transaction():
        await lock_all(connection)
        await forget_checkpoints(connection, list(range(SHARDS)))
        rows = await connection.fetch(SQL.redrive, wanted)
        redriven = [row["outbox_id"] for row in rows]
        if redriven:
            await note(connection, "outbox.redrive", "outbox", listed("outbox_ids", redriven), actor=actor)
    return len(redriven)


async def discard(
    connection: asyncpg.Connection, outbox_ids: Sequence[int] | None = None, *, reason: str, actor: str
) -> int:
    """Remove dead messages (None: all) for good; returns how many there were.

    Only the messages go, never the events: the stream is left with a gap at their versions, which readers
    close from the log.
    """
    wanted = None if outbox_ids is None else list(outbox_ids)
    async with connection.transaction():
        rows = await connection.fetch(SQL.discard, wanted)
        discarded = [row["outbox_id"] for row in rows]
        if discarded:
            detail = {"reason": reason, **listed("outbox_ids", discarded)}
            await note(connection, "outbox.discard", "outbox", detail, actor=actor)
    return len(discarded)


async def _still_waiting(connection: asyncpg.Connection, outbox_ids: Sequence[int]) -> list[int]:
    rows = await connection.fetch(SQL.waiting, outbox_ids) if outbox_ids else []
    return sorted(row["outbox_id"] for row in rows)
