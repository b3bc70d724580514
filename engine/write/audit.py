"""The audit: what operators did, written in the transaction that does it and never changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg
import orjson

from sql import queries

SQL = queries.load("audit")

MOST_LISTED = 10_000


async def note(
    connection: asyncpg.Connection, action: str, subject: str, detail: Mapping[str, object], *, actor: str
) -> None:
    """Write down that `actor` did `action` to `subject`; call it inside the action's own transaction.

    `action` is `<noun>.<verb>`; `detail` is JSON and must hold no secret.
    """
    await connection.execute(SQL.note, actor, action, subject, orjson.dumps(detail).decode())


def listed(name: str, ids: Sequence[int]) -> dict[str, object]:
    """How many things an action concerned, and under `name` which: the lowest 10,000."""
    return {"count": len(ids), name: sorted(ids)[:MOST_LISTED]}
