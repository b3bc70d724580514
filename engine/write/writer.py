"""Group commit: a writer serves in one transaction what queued up while its last COMMIT ran."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import asyncpg

from engine.errors import (
    Busy,
    Invalid,
    Misconfigured,
    PlaylogError,
    Unavailable,
    UnknownOutcome,
    from_sqlstate,
)
from engine.write.append import Context, append
from engine.write.requests import Committed, Outcome, Request

GROUP_REQUESTS = 256
GROUP_EVENTS = 5_000
GROUP_BYTES = 4 * 1024 * 1024
QUEUE_REQUESTS = 10_000
RETRY_AFTER_SECONDS = 1
TIMEOUTS_IN_A_ROW = GROUP_REQUESTS.bit_length()
"""So many halvings find the one request that takes too long; more time-outs mean that all of them do."""

Connect = Callable[[], Awaitable[asyncpg.Connection]]
Announce = Callable[[Committed], None]

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
RACED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
TRANSIENT_CLASSES = frozenset({"08", "40", "53", "55", "57"})


@dataclass(slots=True)
class Ticket:
    """A queued request, the future its caller waits on, and the bytes of its payloads."""

    request: Request
    answer: asyncio.Future[Outcome]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.request.payload_bytes

    @property
    def keys(self) -> set[tuple[str, str]]:
        """The keys it claims: no two tickets of a group may have the same."""
        return {(key.scope, key.key) for key in self.request.keys}


@dataclass(slots=True)
class Group:
    """Tickets for one transaction, within the limits on requests, events, and bytes of payloads."""

    tickets: list[Ticket] = field(default_factory=list)
    keys: set[tuple[str, str]] = field(default_factory=set)
    events: int = 0
    size: int = 0

    def has_room(self, ticket: Ticket) -> bool:
        """Whether the group stays within its limits; the first ticket always fits."""
        return not self.tickets or (
            len(self.tickets) < GROUP_REQUESTS
            and self.events + len(ticket.request.events) <= GROUP_EVENTS
            and self.size + ticket.size <= GROUP_BYTES
        )

    def add(self, ticket: Ticket) -> None:
        """Take a ticket."""
        self.tickets.append(ticket)
        self.keys |= ticket.keys
        self.events += len(ticket.request.events)
        self.size += ticket.size


@dataclass(slots=True)
class Writer:
    """One connection, one queue and one part of the state cache.

    `announce` is called after each COMMIT, before the answers are given; it must not block.
    """

    connect: Connect
    announce: Announce
    context: Context = field(default_factory=Context)
    queue: deque[Ticket] = field(default_factory=deque)
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    connection: asyncpg.Connection | None = None
    timeouts: int = 0

    def put(self, ticket: Ticket) -> None:
        """Queue a request; raises `Busy` when the bounded queue is full."""
        if len(self.queue) >= QUEUE_REQUESTS:
            raise Busy("the append queue is full", retry_after=RETRY_AFTER_SECONDS)
        self.queue.append(ticket)
        self.filled.set()

    async def run(self) -> None:
        """Serve the queue until cancelled; every ticket taken gets an answer or an error."""
        try:
            while True:
                await self.filled.wait()
                tickets = self._take()
                if tickets:
                    await self._serve(tickets)
                if not self.queue:
                    self.filled.clear()
        finally:
            self._refuse_queued()
            await self._drop_connection()

    def _take(self) -> list[Ticket]:
        group = Group()
        postponed: list[Ticket] = []
        while self.queue and group.has_room(self.queue[0]):
            ticket = self.queue.popleft()
            if ticket.answer.done():
                continue
            if ticket.keys & group.keys:
                postponed.append(ticket)
            else:
                group.add(ticket)
        self.queue.extendleft(reversed(postponed))
        return group.tickets

    async def _serve(self, tickets: Sequence[Ticket]) -> None:
        try:
            outcomes, committed = await self._append_twice(tickets)
        except asyncio.CancelledError:
            _fail(tickets, UnknownOutcome("the process is stopping"))
            raise
        except (Unavailable, UnknownOutcome) as error:
            _fail(tickets, error)
        except TimeoutError:
            self.timeouts += 1
            slow = UnknownOutcome(retry_after=RETRY_AFTER_SECONDS)
            await self._bisect(tickets, slow, alone=self.timeouts <= TIMEOUTS_IN_A_ROW)
        except asyncpg.PostgresError as error:
            transient = (error.sqlstate or "")[:2] in TRANSIENT_CLASSES
            await self._bisect(tickets, _mapped(error), alone=not transient)
        except Exception as error:  # noqa: BLE001  # one bad request must not take the others along
            await self._bisect(tickets, error, alone=True)
        else:
            self.timeouts = 0
            self._announce(committed)
            _answer(tickets, outcomes)

    def _announce(self, committed: Committed) -> None:
        try:
            self.announce(committed)
        except Exception as error:  # noqa: BLE001  # what is committed must be answered all the same
            context = {"message": "an announcement failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def _bisect(self, tickets: Sequence[Ticket], error: Exception, *, alone: bool) -> None:
        """Serve the halves apart until the request at fault stands alone with its error."""
        if not alone or len(tickets) == 1:
            _fail(tickets, error)
            return
        middle = len(tickets) // 2
        await self._serve(tickets[:middle])
        await self._serve(tickets[middle:])

    async def _append_twice(self, tickets: Sequence[Ticket]) -> tuple[list[Outcome], Committed]:
        """Append; after a lost connection once more with the same ids, for the commit may have happened.

        Raises `TimeoutError` when several requests took too long together.
        """
        requests = [ticket.request for ticket in tickets]
        try:
            return await append(await self._connected(), requests, self.context)
        except LOST as lost:
            await self._drop_connection()
            if isinstance(lost, TimeoutError) and len(tickets) > 1:
                raise
        except RACED:
            pass
        except asyncpg.UniqueViolationError as raced:
            if raced.constraint_name != "execution_pk":
                raise
        try:
            return await append(await self._connected(), requests, self.context)
        except LOST as lost:
            await self._drop_connection()
            raise UnknownOutcome(retry_after=RETRY_AFTER_SECONDS) from lost

    async def _connected(self) -> asyncpg.Connection:
        if self.connection is None or self.connection.is_closed():
            try:
                self.connection = await self.connect()
            except Misconfigured as error:
                # The process did start with these settings: what is wrong now can be put right again.
                raise Unavailable(code="database_away", retry_after=RETRY_AFTER_SECONDS) from error
        return self.connection

    async def _drop_connection(self) -> None:
        if self.connection is not None:
            self.connection.terminate()
            self.connection = None

    def _refuse_queued(self) -> None:
        _fail(self.queue, Unavailable("the process is stopping", retry_after=RETRY_AFTER_SECONDS))
        self.queue.clear()


def _mapped(error: asyncpg.PostgresError) -> PlaylogError:
    constraint = getattr(error, "constraint_name", None)
    if isinstance(error, asyncpg.CheckViolationError) and constraint is None:
        return Invalid("no partition of the log takes this execution_id", code="id_out_of_range")
    return from_sqlstate(error.sqlstate, constraint)


def _answer(tickets: Sequence[Ticket], outcomes: Sequence[Outcome]) -> None:
    for ticket, outcome in zip(tickets, outcomes, strict=True):
        if not ticket.answer.done():
            ticket.answer.set_result(outcome)


def _fail(tickets: Sequence[Ticket] | deque[Ticket], error: Exception) -> None:
    for ticket in tickets:
        if not ticket.answer.done():
            ticket.answer.set_exception(error)


class Appender:
    """All writers of a process; an execution always goes to the same one."""

    def __init__(self, connect: Connect, announce: Announce, writers: int) -> None:
        self._writers = [Writer(connect, announce) for _ in range(writers)]

    async def submit(self, request: Request) -> Outcome:
        """Append one request; returns after its COMMIT.

        Raises `Busy` when the queue is full, `UnknownOutcome` when the answer of the COMMIT was lost
        twice, `Unavailable` when the database is away.
        """
        return (await self.submit_all([request]))[0]

    async def submit_all(self, requests: Sequence[Request]) -> list[Outcome]:
        """Append several requests, each on its own; the first error is raised after all have ended."""
        settled = await self.submit_each(requests)
        outcomes = [answer for answer in settled if isinstance(answer, Outcome)]
        if len(outcomes) < len(settled):
            raise next(answer for answer in settled if isinstance(answer, BaseException))
        return outcomes

    async def submit_each(self, requests: Sequence[Request]) -> list[Outcome | BaseException]:
        """Append several requests, each on its own; an error stands where its outcome would be."""
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Outcome]] = []
        for request in requests:
            ticket = Ticket(request, loop.create_future())
            answers.append(ticket.answer)
            try:
                self._writers[request.execution_id % len(self._writers)].put(ticket)
            except Busy as busy:
                ticket.answer.set_exception(busy)
        return await asyncio.gather(*answers, return_exceptions=True)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for writer in self._writers:
                tasks.create_task(writer.run())


@contextlib.asynccontextmanager
async def appending(connect: Connect, announce: Announce, writers: int = 2) -> AsyncIterator[Appender]:
    """An appender that serves inside the block; what is queued when it ends is refused."""
    appender = Appender(connect, announce, writers)
    task = asyncio.create_task(appender.run())
    try:
        yield appender
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
