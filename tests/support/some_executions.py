"""A database on which something of every kind has happened, for those who look at it from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg

from engine.domain.events import iso
from engine.read.projection import advance
from engine.write import commands, deliveries, executions
from engine.write.commands import Result
from engine.write.workers import WorkerSeen, seen
from scheduler.liveness import IncidentRole
from tests.support.engine import Engine, result_of, running_engine
from tests.support.projecting import FOREIGN, append_foreign, foreign

if TYPE_CHECKING:
    from tests.support.servers import Connection

SOURCES = (
    "{playbook: t/two, steps: [{name: first, tool: noop}, {name: second, tool: noop}]}",
    "{playbook: t/flaky, steps: [{name: try, tool: noop, retry: {max_attempts: 2, delay: 0ms, jitter: 0}}]}",
    "{playbook: t/ask, steps: [{name: ask, wait: {event: answer, timeout: 1h}}]}",
    "{playbook: t/gpu, steps: [{name: render, tool: noop, pool: gpu}]}",
    "{playbook: t/slow, steps: [{name: crawl, tool: noop, pool: slow}]}",
    "{playbook: t/parent, steps: [{name: call, tool: playbook, with: {playbook: t/two}}]}",
    "{playbook: t/map, steps: [{name: each, tool: noop, map: {items: [1, 2, 3], on_item_error: continue}}]}",
)
BOOM = {"code": "boom", "message": "it broke"}
LONG_AGO = "update playlog.command set available_at = available_at - interval '2 min' where pool = 'gpu'"


@dataclass(slots=True)
class SomeExecutions:
    """The executions by what became of them, and a connection as the role that reads the views."""

    ids: dict[str, int] = field(default_factory=dict)
    connection: Connection | None = None

    @property
    def reader(self) -> Connection:
        assert self.connection is not None
        return self.connection

    @reader.setter
    def reader(self, connection: Connection) -> None:
        self.connection = connection


async def make_some(database_url: str) -> SomeExecutions:
    """Complete, fail, retry, wait, pause, call, map, and leave one execution behind the log."""
    some = SomeExecutions()
    async with running_engine(database_url) as engine, asyncpg.create_pool(database_url, min_size=1) as pool:
        for source in SOURCES:
            await engine.register(source)
        await _start(engine, some)
        await _work(engine, some)
        await _hold_up(engine, some)
        await IncidentRole(pool, 60.0).step()
        await advance(engine.connection, [*some.ids.values()])
        some.ids["behind"] = await engine.start("t/two")
    return some


async def _start(engine: Engine, some: SomeExecutions) -> None:
    labels = {"tenant": "acme"}
    for name, path in {"two": "t/two", "failing": "t/two", "flaky": "t/flaky", "map": "t/map"}.items():
        some.ids[name] = await engine.start(path, labels=labels)
    some.ids["parent"] = await engine.start("t/parent")
    await _deliver(engine)
    children = "select execution_id from playlog.execution where parent_id = $1"
    child = await engine.value(children, some.ids["parent"])
    assert isinstance(child, int)
    some.ids["child"] = child


async def _deliver(engine: Engine) -> None:
    while batch := [each for committed in engine.committed for each in committed.deliveries]:
        engine.committed.clear()
        await deliveries.carry_out(engine.connection, engine.appender, engine.definitions, batch)


async def _work(engine: Engine, some: SomeExecutions) -> None:
    """Work off the default pool: one execution fails, one needs a second attempt, one item is given up."""
    while claimed := await engine.claim(100):
        for command in claimed:
            fails = (
                command.execution_id == some.ids["failing"]
                or (command.execution_id == some.ids["flaky"] and command.attempt == 1)
                or (command.execution_id == some.ids["map"] and command.item == 1)
            )
            at = await engine.connection.fetchval("select clock_timestamp()")
            result = result_of(command, {"n": 1}, BOOM if fails else None)
            told = Result(
                lease=result.lease, succeeded=result.succeeded, value=result.value, started_at=iso(at)
            )
            await engine.settle(told)
    await _deliver(engine)


async def _hold_up(engine: Engine, some: SomeExecutions) -> None:
    """What is not over: a wait with a signal of another name, a pool nobody serves, a pause, a worker."""
    for name, path in {"asking": "t/ask", "gpu": "t/gpu", "paused": "t/gpu", "slow": "t/slow"}.items():
        some.ids[name] = await engine.start(path)
    await executions.signal(engine.appender, some.ids["asking"], "other", {"n": 1})
    await executions.pause(engine.appender, some.ids["paused"])
    await seen(engine.connection, WorkerSeen("w2", pool="slow"))
    await commands.claim(engine.connection, worker_id="w2", pool="slow", limit=1, lease_seconds=60)
    await engine.connection.execute(LONG_AGO)
    some.ids["foreign"] = FOREIGN
    await append_foreign(engine.connection, FOREIGN, foreign("order.noted", 1, payload={"data": 1}))
