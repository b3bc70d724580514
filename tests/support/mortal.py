"""Every process of an installation inside the test's own, each to die at any call and be built anew."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import pytest
import tenacity

from engine.errors import Busy, Unavailable, UnknownOutcome
from engine.read import sweep
from engine.runtime import database
from engine.runtime.consumer import PullConsumer
from engine.runtime.database import Connection, Pool, checkout, classified
from engine.runtime.settings import ProjectorProcess, PublisherProcess, SchedulerProcess
from engine.runtime.stream import EventStream
from engine.write import commands
from engine.write.desk import Desk, open_desk
from engine.write.materialize import Intake
from projector import role as projector_role
from projector.role import Projector
from publisher.role import Publisher
from scheduler.due import DueRole
from scheduler.sweep import DeadlineRole, SweepRole
from tests.support.crashing import CURRENT, CrashingBroker, CrashingSession, Plan

P = TypeVar("P")
T = TypeVar("T")

WAIT_SECONDS = 0.05
ACK_WAIT_SECONDS = 0.5
PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.005
PASSING = (Busy, Unavailable, UnknownOutcome)
"""What a caller repeats its request after, with the same ids and keys."""


def follow_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product's connections follow plans; what would rest for seconds does not."""
    monkeypatch.setattr(database, "SessionlessConnection", CrashingSession)
    monkeypatch.setattr(projector_role, "WAIT_SECONDS", WAIT_SECONDS)
    monkeypatch.setattr(commands, "LONG_ATTEMPT_SECONDS", 0.0)


class Died(Exception):  # noqa: N818  # named as the fact it reports
    """The process died during the call; nobody knows what came of it."""


@dataclass(slots=True)
class Life(Generic[P]):
    """A process and those that take its place: `now` is the one that lives."""

    build: Callable[[], AbstractAsyncContextManager[P]]
    plan: Plan = field(default_factory=Plan)
    deaths: int = 0
    _now: P | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def now(self) -> P:
        assert self._now is not None, "it is not running"
        return self._now

    async def begin(self) -> None:
        """Build the process; what it opens follows its plan."""
        token = CURRENT.set(self.plan)
        try:
            self._now = await self._stack.enter_async_context(self.build())
        finally:
            CURRENT.reset(token)

    async def end(self) -> None:
        """Take down what is left of it."""
        self._now = None
        await self._stack.aclose()

    async def restart(self) -> None:
        """The next process of the kind, which remembers nothing."""
        await self.end()
        self.plan.revive()
        await self.begin()

    async def call(self, action: Callable[[P], Awaitable[T]]) -> T:
        """Have the process do something; raises `Died` when it did not live to answer."""
        token = CURRENT.set(self.plan)
        try:
            work = asyncio.ensure_future(action(self.now))
            death = asyncio.ensure_future(self.plan.died.wait())
        finally:
            CURRENT.reset(token)
        try:
            await asyncio.wait({work, death}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _stop(work)
            raise
        finally:
            death.cancel()
        if not self.plan.died.is_set():
            return await work
        await _stop(work)
        self.deaths += 1
        await self.restart()
        raise Died

    async def insist(self, action: Callable[[P], Awaitable[T]]) -> T:
        """Repeat a call as its caller does: with the same arguments, until it is answered."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type((*PASSING, Died)),
            wait=tenacity.wait_fixed(PAUSE_SECONDS),
            stop=tenacity.stop_after_delay(PATIENCE_SECONDS),
            reraise=True,
        )

        async def attempt() -> T:
            with classified():
                return await self.call(action)

        return await retrying(attempt)


async def _stop(work: asyncio.Future[T]) -> None:
    """Cancel a task and wait for its end, whatever that is."""
    work.cancel()
    await asyncio.wait({work})
    if not work.cancelled():
        work.exception()


@dataclass(frozen=True, slots=True)
class Office:
    """The internal API and the scheduler in one process: everything that appends."""

    pool: Pool
    desk: Desk
    intake: Intake
    due: DueRole
    deadlines: DeadlineRole
    sweep: SweepRole

    def checkout(self) -> AbstractAsyncContextManager[Connection]:
        return checkout(self.pool)


@contextlib.asynccontextmanager
async def office(
    database_url: str, *, writers: int = 1, command_timeout: float = 30.0
) -> AsyncIterator[Office]:
    """An office; with one writer its calls come in one order."""
    settings = SchedulerProcess(database_url=database_url, command_timeout=command_timeout)
    pool = await database.open_pool(settings, size=3)
    try:
        async with open_desk(
            partial(database.connect, settings), partial(checkout, pool), lambda *_: None, writers=writers
        ) as desk:
            yield Office(
                pool,
                desk,
                Intake(desk.appender, partial(checkout, pool)),
                DueRole(pool, desk.appender),
                DeadlineRole(pool, desk.appender),
                SweepRole(
                    "sweep_live",
                    pool,
                    partial(sweep.sweep_live, settled_seconds=0.0),
                    lambda *_: None,
                    rest=1.0,
                ),
            )
    finally:
        pool.terminate()


@contextlib.asynccontextmanager
async def publisher(database_url: str, nats_url: str) -> AsyncIterator[Publisher]:
    """A publisher that is stepped by hand."""
    settings = PublisherProcess(database_url=database_url, nats_url=nats_url)
    broker = CrashingBroker(settings)
    await broker.connect()
    role = Publisher(settings, broker, EventStream(broker, settings))
    try:
        yield role
    finally:
        await role.close()
        await broker.close()


@contextlib.asynccontextmanager
async def projector(
    database_url: str, nats_url: str, *, command_timeout: float = 30.0
) -> AsyncIterator[Projector]:
    """A projector that is stepped by hand; what it does not acknowledge comes again soon."""
    settings = ProjectorProcess(database_url=database_url, nats_url=nats_url, command_timeout=command_timeout)
    broker = CrashingBroker(settings)
    await broker.connect()
    consumer = PullConsumer(broker, EventStream(broker, settings), "projector", ack_wait=ACK_WAIT_SECONDS)
    role = Projector(consumer, partial(database.connect, settings), lambda *_: None)
    try:
        yield role
    finally:
        await role.close()
        await consumer.close()
        await broker.close()
