"""The write side on a real database: register, start, work commands by hand, read the log."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import asyncpg

from engine.domain.advance import replay
from engine.domain.events import RecordedEvent, from_row
from engine.domain.execution import Execution, initial
from engine.language import parse
from engine.write import catalog, commands, deliveries, executions
from engine.write.commands import Claimed, Lease, Result
from engine.write.definitions import Definitions
from engine.write.requests import Committed
from engine.write.writer import Appender, appending
from tests.support.anything import TOOLS

EVENTS = "select * from playlog.event where execution_id = $1 order by version"


@dataclass(slots=True)
class Engine:
    """An appender with a connection for everything that is not an append."""

    connection: asyncpg.Connection
    appender: Appender
    committed: list[Committed]
    definitions: Definitions = field(default_factory=Definitions)

    async def register(self, source: str) -> catalog.Registered:
        return await catalog.register(self.connection, parse(source.encode(), tools=TOOLS), source)

    async def start(self, playbook: str, **order: object) -> int:
        asked = executions.StartOrder(playbook=playbook, **order)  # type: ignore[arg-type]
        return (await self.order(asked)).execution_id

    async def order(self, asked: executions.StartOrder) -> executions.Standing:
        return await executions.start(self.checkout, self.appender, self.definitions, asked)

    def checkout(self) -> contextlib.AbstractAsyncContextManager[asyncpg.Connection]:
        return contextlib.nullcontext(self.connection)

    async def claim(self, limit: int = 10, pool: str = "default") -> list[Claimed]:
        return await commands.claim(self.connection, worker_id="w1", pool=pool, limit=limit, lease_seconds=60)

    async def settle(self, *results: Result) -> commands.Settled:
        return await commands.settle(self.connection, self.appender, "w1", results)

    async def complete(self, command: Claimed, output: object = None) -> commands.Settled:
        return await self.settle(result_of(command, output))

    async def work(self, answer: Callable[[Claimed], object] = lambda _: None) -> int:
        """Claim and complete until nothing is claimable; returns the number of commands."""
        done = 0
        while claimed := await self.claim(100):
            await self.settle(*(result_of(command, answer(command)) for command in claimed))
            done += len(claimed)
        return done

    async def deliver(self) -> None:
        """Carry out the deliveries that the commits since the last call have written, and what follows."""
        batch = [delivery for committed in self.committed for delivery in committed.deliveries]
        self.committed.clear()
        if batch:
            await deliveries.carry_out(self.connection, self.appender, self.definitions, batch)
            await self.deliver()

    async def log(self, execution_id: int) -> list[RecordedEvent]:
        return [from_row(row) for row in await self.connection.fetch(EVENTS, execution_id)]

    async def types(self, execution_id: int) -> list[str]:
        return [event.event_type for event in await self.log(execution_id)]

    async def state(self, execution_id: int) -> Execution:
        head = await self.connection.fetchrow(
            "select definition_hash from playlog.execution where execution_id = $1", execution_id
        )
        assert head is not None
        state = initial(execution_id, head["definition_hash"])
        return replay(state, await self.log(execution_id))

    async def value(self, query: str, *arguments: object) -> object:
        return await self.connection.fetchval(query, *arguments)


def result_of(command: Claimed, output: object = None, error: object = None) -> Result:
    return Result(
        lease=Lease(command.command_id, command.lease_token),
        succeeded=error is None,
        value=output if error is None else error,
    )


@contextlib.asynccontextmanager
async def running_engine(database_url: str, writers: int = 2) -> AsyncIterator[Engine]:
    """An engine on a migrated database."""
    committed: list[Committed] = []
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=30)
    try:
        async with appending(
            lambda: asyncpg.connect(database_url, timeout=10, command_timeout=30), committed.append, writers
        ) as appender:
            yield Engine(connection, appender, committed)
    finally:
        await connection.close()
