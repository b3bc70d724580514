"""Rule 17 as a property: whatever two replicas do, the limit holds and everybody is served in the end."""

from __future__ import annotations

import asyncio
import contextlib
import random

import asyncpg

from engine.errors import Conflict
from engine.write import commands, timers
from engine.write.commands import Lease
from engine.write.deliveries import carry_out, due
from engine.write.executions import cancel, pause, resume
from tests.support.engine import Engine, result_of, running_engine

LIMIT = 2
SEEDS = 3
ACTS = 40
PLAYBOOK = """
playbook: t/%s
inputs: {key: {type: string}}
steps:
  - name: a
    tool: noop
    map: {items: [1, 2, 3], on_item_error: continue}
    retry: {max_attempts: 2, delay: 1ms, on: "error.code == 'again'"}
    concurrency: {key: inputs.key, limit: 2, strategy: %s, scope: global}
  - {name: b, tool: noop, concurrency: {key: inputs.key, limit: 2, strategy: %s, scope: global}}
"""
OVER = """
select concurrency_key, count(*) from playlog.command
where permitted and state <> 'closed' group by concurrency_key having count(*) > 2
"""
IDLE = """
select count(*) from playlog.command h
where h.state = 'held' and not h.permitted and not h.paused and 2 > (
    select count(*) from playlog.command c
    where c.concurrency_key = h.concurrency_key and c.permitted and c.state <> 'closed')
"""
ANYBODY = "select execution_id from playlog.execution where ended_at is null order by execution_id"
LOSE = """
update playlog.command set leased_until = clock_timestamp() - interval '1 s'
where command_id in (select command_id from playlog.command where state = 'claimed' limit 1)
"""
OPEN = "select count(*) from playlog.command where state <> 'closed'"
AT_ONCE = "update playlog.delivery set available_at = clock_timestamp() - interval '2 s'"


class Replica:
    """One of the processes, doing at random what processes do."""

    def __init__(self, engine: Engine, seed: str) -> None:
        self.engine = engine
        self.chance = random.Random(seed)

    async def live(self) -> None:
        often = [self.start, self.start, self.settle, self.settle, self.settle, self.steer, self.steer]
        for _ in range(ACTS):
            await self.chance.choice([*often, self.lose, self.release, self.deliver])()
            assert await self.engine.connection.fetch(OVER) == []

    async def start(self) -> None:
        playbook = self.chance.choice(["queue", "queue", "cancel_newest", "cancel_running"])
        await self.engine.start(f"t/{playbook}", inputs={"key": self.chance.choice("xy")})

    async def settle(self) -> None:
        claimed = await self.engine.claim(self.chance.randint(1, 3))
        errors = [None, None, {"code": "again", "message": "again"}, {"code": "bad", "message": "bad"}]
        await self.engine.settle(*(result_of(each, error=self.chance.choice(errors)) for each in claimed))

    async def lose(self) -> None:
        await self.engine.claim(1)
        await self.engine.connection.execute(LOSE)
        for request in await commands.expired(self.engine.connection, 2):
            await self.engine.appender.submit(request)

    async def release(self) -> None:
        leases = [Lease(each.command_id, each.lease_token) for each in await self.engine.claim(2)]
        await commands.release(self.engine.connection, leases)

    async def steer(self) -> None:
        live = await self.engine.connection.fetch(ANYBODY)
        if live:
            with contextlib.suppress(Conflict):
                steer = self.chance.choice([cancel, pause, pause, resume, resume])
                await steer(self.engine.appender, self.chance.choice(live)["execution_id"])

    async def deliver(self) -> None:
        told = [delivery for each in self.engine.committed for delivery in each.deliveries]
        self.engine.committed.clear()
        await carry_out(self.engine.connection, self.engine.appender, self.engine.definitions, told)


async def watch(url: str, done: asyncio.Event) -> int:
    """Look all the time whether a key has more commands than its limit."""
    connection = await asyncpg.connect(url, timeout=10)
    looks = 0
    while not done.is_set():
        assert await connection.fetch(OVER) == []
        looks += 1
    await connection.close()
    return looks


async def test_two_replicas_never_exceed_a_limit_and_leave_nobody_waiting(
    database_url: str, engine: Engine
) -> None:
    for strategy in ("queue", "cancel_newest", "cancel_running"):
        await engine.register(PLAYBOOK % (strategy, strategy, strategy))
    for seed in range(SEEDS):
        done = asyncio.Event()
        watching = asyncio.create_task(watch(database_url, done))
        async with (
            running_engine(database_url, writers=1) as one,
            running_engine(database_url, writers=1) as two,
        ):
            await asyncio.gather(Replica(one, f"{seed} one").live(), Replica(two, f"{seed} two").live())
        done.set()
        assert await watching > ACTS
        assert await engine.value(IDLE) == 0
        for live in await engine.connection.fetch(ANYBODY):
            await resume(engine.appender, live["execution_id"])
        assert await engine.value(IDLE) == 0
        await drain(engine)
        assert await engine.value(OPEN) == 0
        assert await engine.connection.fetch(ANYBODY) == []


async def drain(engine: Engine) -> None:
    """Carry out and work off everything, until no execution is live."""
    for _ in range(200):
        for statement in (LOSE, AT_ONCE):
            await engine.connection.execute(statement)
        overdue = await commands.expired(engine.connection, 100)
        for request in [*overdue, *await timers.due(engine.connection, 100)]:
            await engine.appender.submit(request)
        told = await due(engine.connection, 100)
        await carry_out(engine.connection, engine.appender, engine.definitions, told)
        await engine.work()
        if not await engine.connection.fetch(ANYBODY):
            return
