"""Wherever the connection to the database breaks, nothing is lost and the order stays."""

from __future__ import annotations

import asyncpg
import pytest

from engine.errors import PlaylogError
from engine.runtime import database
from engine.runtime.settings import DatabaseSettings
from publisher.role import Publisher
from tests.support import outbox, servers
from tests.support.crashing import Plan, crashing
from tests.support.servers import Connection

IDS = list(range(300, 320))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("lost", [False, True], ids=["publishing", "refilling"])
async def test_a_broken_connection_loses_nothing(
    connection: Connection,
    database_url: str,
    nats_url: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lost: bool,
    after: bool,
) -> None:
    plan = Plan()

    async def connect(settings: DatabaseSettings, *, name: str = "") -> Connection:
        return await asyncpg.connect(
            settings.database_url, timeout=10, command_timeout=30, connection_class=crashing(plan)
        )

    monkeypatch.setattr(database, "connect", connect)
    fired = 0
    version = 0
    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        await publisher.step()
        for call in range(1, 40):
            version += 1
            await outbox.record(connection, IDS, events=1, tag=str(version))
            if lost:
                await servers.delete_streams(nats_url)
                publisher._watch.doubt()
            plan.arm(call, after=after)
            await _until_drained(publisher)
            if not plan.fired:
                break
            fired += 1
        plan.at = 0
    assert fired > 6
    assert await outbox.waiting(connection) == 0
    stored = await outbox.stream_content(nats_url)
    assert outbox.gaps(stored, dict.fromkeys(IDS, version)) == []


async def _until_drained(publisher: Publisher) -> None:
    for _ in range(30):
        try:
            if await publisher.step() > 0:
                return
        except PlaylogError as error:
            if error.code != "database_away":
                raise
    raise AssertionError("it never comes to rest")
