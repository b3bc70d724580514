"""Group commit: a writer serves in one transaction what queued up while its last COMMIT ran."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import asyncpg

from engine.errors import (
    Busy,
    Invalid,
    Misconfigured,
    PlaylogError,
    Purged,
    Unavailable,
    from_sqlstate,
)
from engine.write.append import Context, append
from engine.write.horizon import PURGED_DETAIL
from engine.write.partitions import make_for
from engine.write.refusals import gravest
from engine.write.requests import Committed, Outcome, Request
from engine.write.tickets import GROUP_REQUESTS, RETRY_AFTER_SECONDS, Group, Ticket
from engine.write.undecidable import explained

QUEUE_REQUESTS = 10_000
QUEUE_BYTES = 64 * 1024 * 1024
TIMEOUTS_IN_A_ROW = GROUP_REQUESTS.bit_length()
"""So many halvings find the one request that takes too long; more time-outs mean that all of them do."""

Connect = Callable[[], Awaitable[asyncpg.Connection]]
Announce = Callable[[Committed], None]

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Another connection may help: this one is gone, is stuck, or leads to a server that became a standby."""
RACED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.UniqueViolationError)
"""The same again may help: somebody else was in the way, or has recorded the same since it was looked for."""
MENDED = {"race": 3, "partition": 1}
"""How often an append is tried again after what may go better the next time."""
PURGED_CONSTRAINT = "event_purged"
TRANSIENT_CLASSES = frozenset({"08", "25", "40", "53", "55", "57"})


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
    queued_bytes: int = 0
    timeouts: int = 0
    stopped: bool = False

    def put(self, ticket: Ticket) -> None:
        """Queue a request; raises `Busy` when the bounded queue is full, `Unavailable` after the end."""
        if self.stopped:
            raise _stopping()
        if len(self.queue) >= QUEUE_REQUESTS or self.queued_bytes >= QUEUE_BYTES:
            raise Busy("the append queue is full", retry_after=RETRY_AFTER_SECONDS)
        self.queue.append(ticket)
        self.queued_bytes += ticket.size
        self.filled.set()

    def close(self) -> None:
        """Refuse what is queued and whatever comes; `run` ends with it, where it ever began."""
        self.stopped = True
        _fail(self.queue, _stopping())
        self.queue.clear()
        self._drop_connection()

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
            self.close()

    def _take(self) -> list[Ticket]:
        group = Group()
        postponed: list[Ticket] = []
        while self.queue and group.has_room(self.queue[0]):
            ticket = self.queue.popleft()
            if ticket.keys & group.keys:
                postponed.append(ticket)
                continue
            self.queued_bytes -= ticket.size
            if not ticket.answer.done():
                group.add(ticket)
        self.queue.extendleft(reversed(postponed))
        return group.tickets

    async def _serve(self, tickets: Sequence[Ticket]) -> None:
        try:
            outcomes, committed = await self._append_patiently(tickets)
        except asyncio.CancelledError:
            _fail(tickets, _stopping())
            raise
        except Unavailable as error:
            _fail(tickets, error)
        except (TimeoutError, asyncpg.QueryCanceledError):
            self.timeouts += 1
            await self._bisect(tickets, _slow(), alone=self.timeouts <= TIMEOUTS_IN_A_ROW)
        except asyncpg.PostgresError as error:
            transient = (error.sqlstate or "")[:2] in TRANSIENT_CLASSES
            await self._bisect(tickets, _mapped(error), alone=not transient)
        except Exception as error:  # noqa: BLE001  # one bad request must not take the others along
            await self._bisect(tickets, await self._explained(tickets, error), alone=True)
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

    async def _explained(self, tickets: Sequence[Ticket], error: Exception) -> Exception:
        """The error as the one request that it is about is to be told; as it is while there are several."""
        if len(tickets) > 1 or self.connection is None:
            return error
        try:
            return await explained(self.connection, tickets[0].request, error)
        except (*LOST, asyncpg.PostgresError):
            self._drop_connection()
            return error

    async def _append_patiently(self, tickets: Sequence[Ticket]) -> tuple[list[Outcome], Committed]:
        """Append; again with the same ids after a lost connection, a race, or when a partition was missing.

        Raises `Unavailable` when no connection lasts, and `TimeoutError` when several requests took too
        long together. What may be committed by then is in doubt.
        """
        lost = False
        mended: list[str] = []
        while True:
            try:
                return await self._append(tickets)
            except LOST as error:
                if isinstance(error, TimeoutError) and len(tickets) > 1:
                    raise
                if lost:
                    raise _slow() if isinstance(error, TimeoutError) else _away() from error
                lost = True
            except asyncpg.PostgresError as error:
                what = await self._mend(error, tickets)
                if what is None or mended.count(what) == MENDED[what]:
                    raise
                mended.append(what)

    async def _mend(self, error: asyncpg.PostgresError, tickets: Sequence[Ticket]) -> str | None:
        """Name what another try may put right: a race, or a month of the log that is made now."""
        if isinstance(error, RACED):
            return "race"
        if not isinstance(error, asyncpg.CheckViolationError) or error.constraint_name is not None:
            return None
        connection = await self._connected()
        try:
            made = await make_for(connection, {ticket.request.execution_id for ticket in tickets})
        except LOST as lost:
            self._drop_connection()
            raise _away() from lost
        return "partition" if made else None

    async def _append(self, tickets: Sequence[Ticket]) -> tuple[list[Outcome], Committed]:
        connection = await self._connected()
        try:
            return await append(connection, [ticket.request for ticket in tickets], self.context)
        except (*LOST, asyncio.CancelledError):
            self._drop_connection()
            for ticket in tickets:
                ticket.in_doubt = ticket.in_doubt or self.context.committing
            raise

    async def _connected(self) -> asyncpg.Connection:
        if self.connection is None or self.connection.is_closed():
            try:
                self.connection = await self.connect()
            except (*LOST, Misconfigured) as error:
                # The process did start with these settings: what is wrong now can be put right again.
                raise _away() from error
            # A promoted standby may lack what the lost server had committed and this writer remembers.
            self.context = Context()
        return self.connection

    def _drop_connection(self) -> None:
        if self.connection is not None:
            self.connection.terminate()
            self.connection = None


def _away() -> Unavailable:
    return Unavailable("the database is away", code="database_away", retry_after=RETRY_AFTER_SECONDS)


def _slow() -> Unavailable:
    return Unavailable("the database took too long", code="database_busy", retry_after=RETRY_AFTER_SECONDS)


def _stopping() -> Unavailable:
    return Unavailable("the process is stopping", retry_after=RETRY_AFTER_SECONDS)


def _mapped(error: asyncpg.PostgresError) -> PlaylogError:
    constraint = getattr(error, "constraint_name", None)
    if constraint == PURGED_CONSTRAINT:
        return Purged(PURGED_DETAIL)
    if isinstance(error, asyncpg.CheckViolationError) and constraint is None:
        return Invalid("no partition of the log takes this execution_id", code="id_out_of_range")
    return from_sqlstate(error.sqlstate, constraint)


def _answer(tickets: Sequence[Ticket], outcomes: Sequence[Outcome]) -> None:
    for ticket, outcome in zip(tickets, outcomes, strict=True):
        if not ticket.answer.done():
            ticket.answer.set_result(outcome)


def _fail(tickets: Iterable[Ticket], error: Exception) -> None:
    for ticket in tickets:
        ticket.fail(error)


class Appender:
    """All writers of a process; an execution always goes to the same one."""

    def __init__(self, connect: Connect, announce: Announce, writers: int) -> None:
        self._writers = [Writer(connect, announce) for _ in range(writers)]

    async def submit(self, request: Request) -> Outcome:
        """Append one request; returns after its COMMIT.

        Raises `Busy` when the queue is full, `UnknownOutcome` when the answer of a COMMIT was lost and
        trying again did not tell, `Unavailable` when the database is away: nothing is committed then.
        """
        return (await self.submit_all([request]))[0]

    async def submit_all(self, requests: Sequence[Request]) -> list[Outcome]:
        """Append several requests, each on its own; the gravest error is raised after all have ended."""
        settled = await self.submit_each(requests)
        outcomes = [answer for answer in settled if isinstance(answer, Outcome)]
        if len(outcomes) < len(settled):
            raise gravest([answer for answer in settled if isinstance(answer, BaseException)])
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
            except (Busy, Unavailable) as refusal:
                ticket.fail(refusal)
        return await asyncio.gather(*answers, return_exceptions=True)

    def close(self) -> None:
        """Refuse what is queued and whatever comes."""
        for writer in self._writers:
            writer.close()

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
        appender.close()
