"""Connections to PostgreSQL and NATS that break at a chosen call, or take their whole process with them.

A plan counts every call that its process makes: each statement, BEGIN, COMMIT and COPY among them, and each
request and write to the broker. One of them is struck, before the server sees it or after it has answered.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import asyncpg
import nats.errors
from asyncpg.cursor import CursorFactory
from nats.aio.msg import Msg

from engine.runtime.broker import Broker
from engine.runtime.database import SessionlessConnection
from engine.runtime.settings import BrokerSettings
from engine.runtime.wire import Wire

T = TypeVar("T")
Cut = Callable[[], None]


@dataclass(slots=True)
class Plan:
    """Strike at call number `at` (from 1), `after` the server has done it or before; then no more.

    With a `text` only the statements that begin with it count. A deadly strike is the end of the process:
    all its connections break, and whoever calls is cancelled.
    """

    at: int = 0
    after: bool = False
    deadly: bool = False
    calls: int = 0
    fired: bool = False
    text: str = ""
    struck: str = ""
    died: asyncio.Event = field(default_factory=asyncio.Event)
    cuts: weakref.WeakKeyDictionary[object, Cut] = field(default_factory=weakref.WeakKeyDictionary)

    def arm(self, at: int, *, after: bool, deadly: bool = False, text: str = "") -> None:
        self.at, self.after, self.deadly, self.text = at, after, deadly, text
        self.calls, self.fired = 0, False

    def disarm(self) -> None:
        self.at = 0

    def revive(self) -> None:
        """Begin the life of the next process."""
        self.died.clear()
        self.cuts.clear()

    def own(self, connection: object, cut: Cut) -> None:
        """Note a connection of the process and how it is cut."""
        self.cuts[connection] = cut

    async def around(self, what: str, call: Callable[[], Awaitable[T]], cut: Cut, lost: type[Exception]) -> T:
        """Make a call, unless this is the one to be struck; `lost` is what its caller then gets."""
        due = self.is_due(what)
        if due and not self.after:
            self.strike(cut, lost)
        answer = await call()
        if due:
            self.strike(cut, lost)
        return answer

    def is_due(self, what: str) -> bool:
        """Count a call and say whether it is the one; in a process that has ended nothing is called."""
        if self.died.is_set():
            raise asyncio.CancelledError
        self.calls += what.startswith(self.text)
        if not what.startswith(self.text) or self.fired or self.calls != self.at:
            return False
        self.struck = " ".join(what.split())[:60]
        return True

    def strike(self, cut: Cut, lost: type[Exception]) -> None:
        self.fired = True
        cut()
        if not self.deadly:
            raise lost
        self.died.set()
        for other in list(self.cuts.values()):
            other()
        raise asyncio.CancelledError


class BrokenByTest(asyncpg.ConnectionDoesNotExistError):
    """The test broke the connection."""

    def __init__(self) -> None:
        super().__init__("the test broke the connection")


class CrashingConnection(asyncpg.Connection):
    """Counts every statement and follows its plan."""

    plan: Plan

    async def execute(self, query: str, *args: Any, **more: Any) -> str:
        return await self._counted(query, super().execute, query, *args, **more)

    async def executemany(self, command: str, args: Any, **more: Any) -> None:
        return await self._counted(command, super().executemany, command, args, **more)

    async def fetch(  # type: ignore[override]
        self, query: str, *args: Any, **more: Any
    ) -> list[asyncpg.Record]:
        return await self._counted(query, super().fetch, query, *args, **more)

    async def fetchrow(  # type: ignore[override]
        self, query: str, *args: Any, **more: Any
    ) -> asyncpg.Record | None:
        return await self._counted(query, super().fetchrow, query, *args, **more)

    async def fetchval(self, query: str, *args: Any, **more: Any) -> object:
        return await self._counted(query, super().fetchval, query, *args, **more)

    async def copy_records_to_table(self, table_name: str, **more: Any) -> str:
        return await self._counted(f"COPY {table_name}", super().copy_records_to_table, table_name, **more)

    def cursor(self, query: str, *args: Any, **more: Any) -> CursorFactory:  # type: ignore[override]
        """Breaks, if it is the one, as it is opened."""
        if self.plan.is_due(query):
            self.plan.strike(self.terminate, BrokenByTest)
        return super().cursor(query, *args, **more)

    async def _counted(self, what: str, call: Callable[..., Awaitable[T]], *args: Any, **more: Any) -> T:
        return await self.plan.around(what, lambda: call(*args, **more), self.terminate, BrokenByTest)


def crashing(plan: Plan) -> type[CrashingConnection]:
    """A connection class of its own, so that plans of two tests never meet."""
    return type("PlannedConnection", (CrashingConnection,), {"plan": plan})


CURRENT: contextvars.ContextVar[Plan] = contextvars.ContextVar("plan")


class CrashingSession(CrashingConnection, SessionlessConnection):
    """A product's connection that follows the plan of the process in whose context it is opened."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.plan = CURRENT.get()
        self.plan.own(self, self.terminate)


class CrashingWire:
    """A wire to NATS that counts what is asked and written."""

    def __init__(self, wire: Wire, plan: Plan) -> None:
        self._wire = wire
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    async def request(self, subject: str, payload: bytes = b"", **more: Any) -> Msg:
        return await self._plan.around(
            f"request {subject}",
            lambda: self._wire.request(subject, payload, **more),
            self._wire.cut,
            nats.errors.ConnectionClosedError,
        )

    def write(self, block: bytes) -> None:
        due = self._plan.is_due(f"write {block[:40]!r}")
        if due and not self._plan.after:
            self._plan.strike(self._wire.cut, nats.errors.ConnectionClosedError)
        self._wire.write(block)
        if due:
            self._wire._socket.write(b"".join(self._wire._pending))  # type: ignore[no-untyped-call]
            self._plan.strike(self._wire.cut, nats.errors.ConnectionClosedError)


class CrashingBroker(Broker):
    """A broker whose wires follow the plan of the process that made it."""

    def __init__(self, settings: BrokerSettings, *, name: str = "test") -> None:
        super().__init__(settings, name=name)
        self._plan = CURRENT.get()
        self._plan.own(self, self._cut)

    def wire(self) -> Wire:
        return cast("Wire", CrashingWire(super().wire(), self._plan))

    def _cut(self) -> None:
        self._closing.set()
        if self._wire is not None:
            self._wire.cut()
