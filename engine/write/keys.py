"""Idempotency keys inside the append: the first request with a key wins, later ones learn its answer."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from engine.errors import Unavailable
from engine.write.requests import Key, Known, Outcome, Request
from engine.write.store import columns
from sql import queries

SQL = queries.load("append")

Pending = list[tuple[Request, Outcome]]
Pair = tuple[str, str]


async def claim_keys(connection: asyncpg.Connection, pending: Pending) -> Pending:
    """Claim the keys of a group, in order; return the requests that may go on.

    The others get `outcome.known`. No two requests of a group may carry the same key.
    """
    claims = sorted(
        (key.scope, key.key, key.request_hash, request.execution_id)
        for request, _ in pending
        for key in request.keys
    )
    if not claims:
        return pending
    won = {(row[0], row[1]) for row in await connection.fetch(SQL.claim_keys, *columns(claims))}
    if len(won) < len(claims):
        await _answer_losers(connection, pending, won)
    return [(request, outcome) for request, outcome in pending if outcome.known is None]


async def _answer_losers(connection: asyncpg.Connection, pending: Pending, won: set[Pair]) -> None:
    lost = [
        (outcome, key)
        for request, outcome in pending
        for key in request.keys
        if (key.scope, key.key) not in won
    ]
    answers = await find_keys(connection, [key for _, key in lost])
    known = {(answer.scope, answer.key): answer for answer in answers}
    for outcome, key in lost:
        answer = known.get((key.scope, key.key))
        if answer is None:
            raise Unavailable("the answer to this key was purged just now", retry_after=0)
        outcome.known = outcome.known or answer
    needless = [
        (key.scope, key.key)
        for request, outcome in pending
        if outcome.known is not None
        for key in request.keys
        if (key.scope, key.key) in won
    ]
    if needless:
        await connection.execute(SQL.release_keys, *columns(needless))


async def find_keys(connection: asyncpg.Connection, keys: Sequence[Key]) -> list[Known]:
    """What earlier requests with these keys started, in the order of the keys."""
    asked = {(key.scope, key.key): key.request_hash for key in keys}
    if not asked:
        return []
    rows = await connection.fetch(SQL.known_keys, *columns(list(asked)))
    found = {
        (row["scope"], row["idempotency_key"]): Known(
            scope=row["scope"],
            key=row["idempotency_key"],
            execution_id=row["execution_id"],
            version=row["version"] or 0,
            status=row["status"] or "pending",
            same_request=row["request_hash"] == asked[row["scope"], row["idempotency_key"]],
        )
        for row in rows
    }
    return [found[pair] for pair in asked if pair in found]
