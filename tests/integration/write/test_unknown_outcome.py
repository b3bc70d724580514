"""P1, P2: where the answer of a COMMIT is lost the caller is told, and the same request again settles it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from engine.domain.admit import Verdict
from engine.domain.events import NewEvent
from engine.errors import PlaylogError, Unavailable, UnknownOutcome
from engine.runtime.database import checkout
from engine.write.executions import StartOrder, signal, start_request
from engine.write.materialize import Intake
from engine.write.requests import Request
from engine.write.tickets import RETRY_AFTER_SECONDS
from engine.write.writer import Appender, appending
from sql import queries
from tests.support.crashing import Plan, crashing
from tests.support.engine import Engine, running_engine
from tests.support.eventually import eventually

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)


@dataclass
class Line:
    """The way to the database: breaks by its plan, and then refuses so many new connections."""

    database_url: str
    plan: Plan
    refusals: int = 0
    refusal: Exception | None = None

    def break_at(self, text: str, *, after: bool, refusal: Exception) -> None:
        self.plan.arm(1, after=after, text=text)
        self.refusals, self.refusal = 1, refusal

    async def connect(self) -> asyncpg.Connection:
        if self.plan.fired and self.refusals and self.refusal is not None:
            self.refusals -= 1
            raise self.refusal
        kind = crashing(self.plan)
        return await asyncpg.connect(self.database_url, connection_class=kind, timeout=10, command_timeout=30)


@pytest.fixture
def line(database_url: str) -> Line:
    return Line(database_url, Plan())


@pytest.fixture
async def engine(line: Line, connection: asyncpg.Connection) -> AsyncIterator[Engine]:
    async with appending(line.connect, lambda _: None, 1) as appender:
        yield Engine(connection, appender, [])


def away() -> Unavailable:
    return Unavailable("away", code="database_away", retry_after=1)


def note(execution_id: int, event_id: int = 1) -> Request:
    event = NewEvent(event_type="order.noted", status="RUNNING", event_id=event_id)
    return Request(execution_id=execution_id, events=(event,))


async def verdicts(appender: Appender, *requests: Request) -> list[Verdict]:
    return [outcome.verdicts[0].verdict for outcome in await appender.submit_all(requests)]


@pytest.mark.parametrize("refusal", [away(), OSError("refused")], ids=["ours", "the system's"])
@pytest.mark.parametrize("after", [False, True], ids=["before the server", "after its answer"])
async def test_a_commit_without_an_answer_is_unknown_where_the_next_connection_is_refused(
    engine: Engine, line: Line, after: object, refusal: Exception
) -> None:
    await engine.register(ONE)
    requests = [note(await engine.start("t/one")) for _ in range(3)]
    line.break_at("COMMIT", after=bool(after), refusal=refusal)
    answers = await engine.appender.submit_each(requests)
    assert [type(answer) for answer in answers] == [UnknownOutcome] * 3
    assert [retry_after(answer) for answer in answers] == [RETRY_AFTER_SECONDS] * 3
    again = Verdict.DUPLICATE if after else Verdict.RECORDED
    assert await verdicts(engine.appender, *requests) == [again] * 3


@pytest.mark.parametrize(
    ("text", "after"),
    [("BEGIN", False), (queries.load("append").record, True)],
    ids=["before it began", "after it was written"],
)
async def test_an_append_that_broke_before_its_commit_is_unavailable_and_has_left_nothing(
    engine: Engine, line: Line, text: str, after: object
) -> None:
    await engine.register(ONE)
    requests = [note(await engine.start("t/one")) for _ in range(3)]
    line.break_at(text, after=bool(after), refusal=away())
    answers = await engine.appender.submit_each(requests)
    assert line.plan.fired
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert [retry_after(answer) for answer in answers] == [RETRY_AFTER_SECONDS] * 3
    assert await verdicts(engine.appender, *requests) == [Verdict.RECORDED] * 3


def retry_after(answer: object) -> object:
    assert isinstance(answer, PlaylogError)
    return answer.data["retry_after"]


async def test_a_connection_refused_before_anything_was_sent_is_unavailable(
    engine: Engine, line: Line
) -> None:
    line.plan.fired, line.refusals, line.refusal = True, 1, OSError("refused")
    (answer,) = await engine.appender.submit_each([note(1)])
    assert isinstance(answer, Unavailable)
    assert answer.code == "database_away"


async def test_doubt_outlives_the_halving_of_a_group(engine: Engine, database_url: str) -> None:
    """The COMMIT of two is lost, the same again hangs, then the database is away."""
    await engine.register(ONE)
    requests = [note(await engine.start("t/one")) for _ in range(2)]
    plan = Plan()
    plan.arm(1, after=True, text="COMMIT")
    kind, connections = crashing(plan), 0

    async def connect() -> asyncpg.Connection:
        nonlocal connections
        connections += 1
        if connections == 2:
            await engine.connection.execute("select from playlog.execution for update")
        elif connections > 2:
            raise away()
        return await asyncpg.connect(database_url, connection_class=kind, timeout=10, command_timeout=0.3)

    async with appending(connect, lambda _: None, 1) as appender, engine.connection.transaction():
        answers = await appender.submit_each(requests)
    assert connections > 2
    assert [type(answer) for answer in answers] == [UnknownOutcome] * 2


async def lose_the_answer(line: Line, call: Callable[[], Awaitable[Any]]) -> Any:
    """Call, lose the answer of the COMMIT and the next connection, and call again."""
    line.break_at("COMMIT", after=True, refusal=away())
    with pytest.raises(UnknownOutcome):
        await call()
    return await call()


async def test_a_batch_sent_again_after_an_unknown_outcome_is_all_duplicates(
    engine: Engine, line: Line, pool: asyncpg.Pool
) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    intake = Intake(engine.appender, lambda: checkout(pool))
    batch = [{"execution_id": execution_id, "event_type": "order.noted", "step": "a"}] * 3
    answer = await lose_the_answer(line, lambda: intake.materialize(batch, "a-key"))
    assert (answer.materialized, answer.duplicates, answer.rejected, answer.minted) == (0, 3, [], 0)
    assert (await engine.types(execution_id)).count("order.noted") == 3


async def test_a_result_sent_again_after_an_unknown_outcome_is_settled_once(
    engine: Engine, line: Line
) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    (command,) = await engine.claim()
    answer = await lose_the_answer(line, lambda: engine.complete(command, {"n": 1}))
    assert [admission.verdict for admission in answer.verdicts] == [Verdict.DUPLICATE]
    assert answer.versions == {execution_id: 5}
    assert (await engine.types(execution_id)).count("command.completed") == 1


@pytest.mark.parametrize("name", ["key", "idempotency_key"])
async def test_a_start_repeated_after_an_unknown_outcome_finds_the_first_execution(
    engine: Engine, line: Line, name: str
) -> None:
    await engine.register(ONE)
    execution_id = await lose_the_answer(line, lambda: engine.start("t/one", **{name: "k"}))
    assert await engine.value("select array_agg(execution_id) from playlog.execution") == [execution_id]
    assert await engine.types(execution_id) == ["execution.started", "command.issued"]


async def test_a_signal_repeated_after_an_unknown_outcome_is_received_once(
    engine: Engine, line: Line
) -> None:
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    standing = await lose_the_answer(line, lambda: signal(engine.appender, execution_id, "go", 1, "k"))
    assert standing.version == 3
    assert (await engine.types(execution_id)).count("signal.received") == 1


async def test_one_start_recorded_by_two_processes_at_once_is_a_repetition_and_no_conflict(
    engine: Engine, database_url: str, pool: asyncpg.Pool
) -> None:
    await engine.register(ONE)
    resolved, definition = await engine.definitions.resolve(engine.connection, "t/one", None)
    request = start_request(definition, resolved, StartOrder(playbook="t/one"))

    async def both_wait() -> None:
        assert await engine.value(WAITING) == 2

    async with running_engine(database_url) as replica:
        async with checkout(pool) as other, other.transaction():
            await other.execute("lock table playlog.outbox in share mode")
            starts = [
                asyncio.create_task(verdicts(appender, request))
                for appender in (engine.appender, replica.appender)
            ]
            await eventually(both_wait)
        assert sorted([*await starts[0], *await starts[1]]) == [Verdict.DUPLICATE, Verdict.RECORDED]


async def test_what_comes_after_the_end_is_refused_and_never_waits(database_url: str) -> None:
    async with appending(lambda: asyncpg.connect(database_url), lambda _: None, 1) as appender:
        pass
    (answer,) = await appender.submit_each([note(1)])
    assert isinstance(answer, Unavailable)
