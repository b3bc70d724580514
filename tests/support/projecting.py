"""The read side in tests: logs to project, the messages that tell of them, and the law that must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from engine.domain.admit import Origin
from engine.domain.events import NewEvent
from engine.read.messages import Message, parse_message
from engine.read.verify import verify
from engine.write.append import Context, append
from engine.write.requests import Request
from tests.support.engine import Engine, result_of

TWO_STEPS = """
playbook: tests/two
inputs:
  name: {type: string, default: world}
steps:
  - name: first
    tool: noop
    with: {name: "${inputs.name}"}
  - name: second
    tool: noop
output:
  greeting: "${steps.first.output}"
"""

WAITING = """
playbook: tests/waiting
steps:
  - name: ask
    wait: {event: answer, timeout: 1h}
  - name: act
    tool: noop
    pool: gpu
"""

FOREIGN = 5_000_000


async def play_some(engine: Engine) -> list[int]:
    """Three executions, complete, failed and waiting, whose logs grew in several appends each."""
    await engine.register(TWO_STEPS)
    await engine.register(WAITING)
    complete, failed = await engine.start("tests/two"), await engine.start("tests/two")
    waiting = await engine.start("tests/waiting")
    while claimed := await engine.claim(100):
        for command in claimed:
            error = {"code": "boom", "message": "no"} if command.execution_id == failed else None
            await engine.settle(result_of(command, {"step": command.step}, error))
    return [complete, failed, waiting]


async def append_foreign(connection: asyncpg.Connection, execution_id: int, *events: NewEvent) -> None:
    """Events of another system's execution, in one append."""
    head = "insert into playlog.execution (execution_id, version, recorded_at, status)"
    await connection.execute(
        f"{head} values ($1, 0, clock_timestamp(), 'pending') on conflict do nothing", execution_id
    )
    request = Request(execution_id=execution_id, events=events, origin=Origin.OUTSIDE)
    await append(connection, [request], Context())


def foreign(event_type: str, event_id: int, **more: Any) -> NewEvent:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return NewEvent(
        **{"event_type": event_type, "status": "RUNNING", "event_id": event_id, "created_at": at, **more}
    )


async def bodies(connection: asyncpg.Connection) -> list[bytes]:
    rows = await connection.fetch("select payload from playlog.outbox order by outbox_id")
    return [row["payload"].encode() for row in rows]


async def messages(connection: asyncpg.Connection) -> list[Message]:
    return [parse_message(body) for body in await bodies(connection)]


async def heads(connection: asyncpg.Connection) -> dict[int, int]:
    rows = await connection.fetch("select execution_id, version from playlog.execution")
    return dict(map(tuple, rows))


async def projected(connection: asyncpg.Connection) -> dict[int, int]:
    rows = await connection.fetch("select execution_id, version from playlog.snapshot")
    return dict(map(tuple, rows))


async def assert_snapshots_are_true(connection: asyncpg.Connection) -> None:
    stored = await projected(connection)
    checked = await verify(connection, stored)
    assert (checked.drifted, checked.failed) == ([], {})
    assert checked.verified == sorted(stored)


@dataclass(slots=True)
class BreakingConnection:
    """A connection that breaks at its n-th statement, before or after the server has carried it out."""

    connection: asyncpg.Connection
    breaks_at: int
    answer_lost: bool
    calls: int = 0

    def transaction(self) -> asyncpg.transaction.Transaction:
        return self.connection.transaction()

    async def fetch(self, *arguments: Any) -> Any:
        return await self._call(self.connection.fetch, arguments)

    async def execute(self, *arguments: Any) -> Any:
        return await self._call(self.connection.execute, arguments)

    async def _call(self, method: Any, arguments: Any) -> Any:
        self.calls += 1
        if self.calls == self.breaks_at and not self.answer_lost:
            raise ConnectionError
        answer = await method(*arguments)
        if self.calls == self.breaks_at:
            raise ConnectionError
        return answer


def backwards(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """Executions whose version went down."""
    return {key: version for key, version in before.items() if after.get(key, 0) < version}
