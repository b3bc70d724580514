"""The readiness checks that several processes share."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from engine.runtime.database import checkout, open_pool
from sql import queries, runner
from sql.migration import MigrationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from engine.runtime.broker import Broker
    from engine.runtime.database import Pool
    from engine.runtime.health import Check, Health
    from engine.runtime.settings import DatabaseSettings

_SQL = queries.load("health")
_CHECKOUT_SECONDS = 2.0
_REMEMBERED_SECONDS = 30.0


@asynccontextmanager
async def checked_pool(
    settings: DatabaseSettings, health: Health, *, name: str, size: int | None = None
) -> AsyncIterator[Pool]:
    """A pool for the block, with the database's checks; see `open_pool` for what it raises."""
    async with await open_pool(settings, size=size, name=name) as pool:
        add_database_checks(health, pool, allow_unsafe_durability=settings.allow_unsafe_durability)
        yield pool


def add_database_checks(health: Health, pool: Pool, *, allow_unsafe_durability: bool) -> None:
    """Register: the database answers, its migrations are this build's, and commits survive a power cut."""
    health.add("database", _database(pool))
    health.add("migrations", _remembered(_migrations(pool)))
    if not allow_unsafe_durability:
        health.add("durability", _remembered(_durability(pool)))


def add_broker_check(health: Health, broker: Broker) -> None:
    """Register: NATS is connected."""

    async def check() -> str | None:
        return None if broker.is_connected else "not connected to NATS"

    health.add("nats", check)


def _database(pool: Pool) -> Check:
    async def check() -> str | None:
        async with checkout(pool, seconds=_CHECKOUT_SECONDS) as connection:
            await connection.fetchval(_SQL.alive)
        return None

    return check


def _migrations(pool: Pool) -> Check:
    async def check() -> str | None:
        async with checkout(pool, seconds=_CHECKOUT_SECONDS) as connection:
            try:
                pending = await runner.pending(connection)
            except MigrationError as error:
                return str(error)
        return f"to be applied: {', '.join(pending)}" if pending else None

    return check


def _durability(pool: Pool) -> Check:
    async def check() -> str | None:
        async with checkout(pool, seconds=_CHECKOUT_SECONDS) as connection:
            names = [row["name"] for row in await connection.fetch(_SQL.unsafe_settings)]
        if not names:
            return None
        return (
            f"{', '.join(names)} of PostgreSQL is off: a power cut loses acknowledged commits; turn it on, "
            "or set PLAYLOG_ALLOW_UNSAFE_DURABILITY=1"
        )

    return check


def _remembered(check: Check) -> Check:
    """Ask once in 30 s while the answer is good, so that probes cost next to nothing."""
    good_until = 0.0

    async def remembering() -> str | None:
        nonlocal good_until
        if time.monotonic() < good_until:
            return None
        why = await check()
        if why is None:
            good_until = time.monotonic() + _REMEMBERED_SECONDS
        return why

    return remembering
