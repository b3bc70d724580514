"""Outbox messages that cannot be published: set aside with a backoff, in the end given up and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from engine.write.store import columns
from sql import queries

SQL = queries.load("outbox")

DIES_AFTER = 20
ERROR_CHARACTERS = 2_000
MAX_DELAY_SECONDS = 300
_MOST_ATTEMPTS = 2**31 - 1
_LONGEST_SECONDS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A message that failed for the `attempts`-th time; with a token only while it is the current one."""

    outbox_id: int
    error: str
    attempts: int
    max_delay_seconds: int = MAX_DELAY_SECONDS
    lease_token: int | None = None

    @property
    def delay(self) -> int:
        """Seconds until it may be tried again: 1, 2, 4 ... 256, at most `max_delay_seconds`."""
        doubled: int = 2 ** min(8, max(0, self.attempts - 1))
        return max(0, min(self.max_delay_seconds, doubled, _LONGEST_SECONDS))


@dataclass(frozen=True, slots=True)
class Parked:
    """Which messages were set aside, and which of them were given up."""

    outbox_ids: frozenset[int]
    dead_ids: frozenset[int]


async def park(connection: asyncpg.Connection, failures: Sequence[Failure]) -> Parked:
    """Set messages aside; one dies after 20 attempts when another was published since its first failure.

    Messages that are gone or whose lease token is not current any more are left out of the answer.
    """
    rows = await connection.fetch(SQL.park, *columns([_row(failure) for failure in failures]))
    hopeless = [row["outbox_id"] for row in rows if row["attempts"] >= DIES_AFTER]
    dead = await connection.fetch(SQL.bury, hopeless) if hopeless else []
    return Parked(frozenset(row["outbox_id"] for row in rows), frozenset(row["outbox_id"] for row in dead))


def _row(failure: Failure) -> tuple[object, ...]:
    attempts = min(max(0, failure.attempts), _MOST_ATTEMPTS)
    return failure.outbox_id, attempts, float(failure.delay), _storable(failure.error), failure.lease_token


def _storable(text: str) -> str:
    """Shortened, without what PostgreSQL cannot store as text."""
    return text[:ERROR_CHARACTERS].replace("\0", "?").encode("utf-8", "replace").decode()
