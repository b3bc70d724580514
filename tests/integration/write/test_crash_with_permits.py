"""P1, P5, rule 17: a process may die at any statement; no permit is lost, and none is given twice."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import asyncpg
import pytest

from engine.errors import PlaylogError
from engine.runtime.database import classified
from engine.write import commands
from engine.write.append import Context, append
from engine.write.deliveries import carry_out, due
from engine.write.executions import cancel
from engine.write.requests import Outcome, Request
from engine.write.writer import Appender
from sql import queries
from tests.support.crashing import Plan, crashing
from tests.support.engine import Engine
from tests.support.eventually import eventually

LIMITED = """
playbook: t/%s
steps: [{name: a, tool: noop, concurrency: {key: "'k'", limit: 1, strategy: %s, scope: global}}]
"""
PERMITS = "select count(*) from playlog.command where permitted and state <> 'closed'"
OPEN = "select count(*) from playlog.command where state <> 'closed'"
LIVE = "select count(*) from playlog.execution where ended_at is null"
LOSE = "update playlog.command set leased_until = clock_timestamp() - interval '1 s' where state = 'claimed'"
AT_ONCE = "update playlog.delivery set available_at = clock_timestamp() - interval '2 s'"
BUSY = """
select count(*) from pg_stat_activity
where datname = current_database() and state <> 'idle' and pid <> pg_backend_pid()
"""
LOCK, LINES, RECORD, TELL = (
    statement[:80]
    for statement in (
        queries.load("permits").lock,
        queries.load("permits").lines,
        queries.load("append").record,
        queries.load("append").insert_deliveries,
    )
)
POINTS = [*((text, False) for text in (LOCK, LINES, RECORD, TELL, "COMMIT")), ("COMMIT", True)]
OPTIONAL = {TELL}
"""Whoever withdraws nobody tells nobody."""

Act = Callable[[Engine, Engine], Awaitable[object]]


@dataclass(slots=True)
class OneLife:
    """An appender that never tries again: when its connection breaks, its process is gone."""

    connection: asyncpg.Connection

    async def submit(self, request: Request) -> Outcome:
        with classified():
            outcomes, _ = await append(self.connection, [request], Context())
        return outcomes[0]

    async def submit_each(self, requests: Sequence[Request]) -> list[Outcome]:
        return [await self.submit(request) for request in requests]


async def settle(mortal: Engine, engine: Engine) -> object:
    (command,) = await engine.claim()
    return await mortal.complete(command)


async def lose(mortal: Engine, engine: Engine) -> object:
    await engine.claim()
    await engine.connection.execute(LOSE)
    (request,) = await commands.expired(engine.connection, 1)
    return await mortal.appender.submit(request)


async def cancel_the_holder(mortal: Engine, engine: Engine) -> object:
    holder = await engine.value("select execution_id from playlog.command where state = 'pending'")
    return await cancel(mortal.appender, cast("int", holder))


def start(strategy: str) -> Act:
    return lambda mortal, _: mortal.start(f"t/{strategy}")


async def withdraw(mortal: Engine, engine: Engine) -> object:
    await engine.start("t/cancel_running")
    await engine.connection.execute(AT_ONCE)
    (told,) = await due(engine.connection, 10)
    return await carry_out(engine.connection, mortal.appender, engine.definitions, [told])


ACTS = {
    "settle": settle,
    "lose": lose,
    "cancel": cancel_the_holder,
    "start one that waits": start("queue"),
    "start one that is refused": start("cancel_newest"),
    "start one that cancels": start("cancel_running"),
    "withdraw": withdraw,
}


@pytest.fixture
def plan() -> Plan:
    return Plan()


@pytest.fixture
async def mortals(
    database_url: str, plan: Plan, engine: Engine
) -> AsyncIterator[Callable[[], Awaitable[Engine]]]:
    """Makes engines whose appends follow the plan, once each."""
    kind, opened = crashing(plan), list[asyncpg.Connection]()

    async def born() -> Engine:
        connection = await asyncpg.connect(database_url, connection_class=kind, timeout=10)
        opened.append(connection)
        return Engine(engine.connection, cast("Appender", OneLife(connection)), engine.committed)

    yield born
    for connection in opened:
        await connection.close()


async def test_whoever_dies_at_any_statement_leaves_every_permit_where_it_belongs(
    engine: Engine, mortals: Callable[[], Awaitable[Engine]], plan: Plan
) -> None:
    for strategy in ("queue", "cancel_newest", "cancel_running"):
        await engine.register(LIMITED % (strategy, strategy))
    for name, act in ACTS.items():
        struck = set()
        for text, after in POINTS:
            for _ in range(2):
                await engine.start("t/queue")
            mortal = await mortals()
            plan.arm(1, after=after, text=text)
            with contextlib.suppress(PlaylogError):
                await act(mortal, engine)
            if plan.fired:
                struck.add(text)
            plan.disarm()
            await eventually(partial(gone, engine, mortal))
            assert await engine.value(PERMITS) == 1, (name, plan.struck)
            await drain(engine)
        assert struck >= {text for text, _ in POINTS} - OPTIONAL, name


async def gone(engine: Engine, mortal: Engine) -> None:
    """The server has noticed that the process is dead: nothing of its transaction holds a lock any more."""
    await cast("OneLife", mortal.appender).connection.close()
    assert await engine.value(BUSY) == 0


async def drain(engine: Engine) -> None:
    """Let everything come to its end: each that waits is handed out in turn, each told is carried out."""
    await engine.connection.execute(LOSE)
    for request in await commands.expired(engine.connection, 10):
        await engine.appender.submit(request)
    await engine.connection.execute(AT_ONCE)
    told = await due(engine.connection, 100)
    await carry_out(engine.connection, engine.appender, engine.definitions, told)
    await engine.work()
    assert [await engine.value(left) for left in (OPEN, LIVE)] == [0, 0]
