"""P3, P5: several appenders on the same executions give one order, and each event once."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import orjson
import pytest

from engine.domain.admit import Origin, Verdict
from engine.domain.events import NewEvent
from engine.domain.ids import derive_id
from engine.domain.snapshot import encode
from engine.domain.vocabulary import EventType
from engine.write.append import Context, append
from engine.write.executions import engine_event, signal
from engine.write.requests import Request
from tests.support.engine import Engine, running_engine

ONE = "{playbook: t/one, steps: [{name: a, tool: noop}]}"
EXECUTIONS = 8
EVENTS = 60


def notes() -> list[NewEvent]:
    return [
        NewEvent(event_type="order.noted", status="RUNNING", event_id=number, payload={"n": number})
        for number in range(1, EVENTS + 1)
    ]


async def hammer(engine: Engine, execution_ids: list[int], seed: int) -> list[Verdict]:
    """Send every event to every execution, shuffled, in batches of a random size."""
    chance = random.Random(seed)
    verdicts: list[Verdict] = []
    work = [(execution_id, event) for execution_id in execution_ids for event in notes()]
    chance.shuffle(work)
    while work:
        size = chance.randint(1, 40)
        batch, work = work[:size], work[size:]
        requests = [Request(execution_id=execution_id, events=(event,)) for execution_id, event in batch]
        for outcome in await engine.appender.submit_all(requests):
            verdicts += [admission.verdict for admission in outcome.verdicts]
    return verdicts


async def test_overlapping_batches_of_two_replicas_store_the_distinct_set_once_and_gapless(
    engine: Engine, database_url: str
) -> None:
    await engine.register(ONE)
    execution_ids = [await engine.start("t/one") for _ in range(EXECUTIONS)]
    async with running_engine(database_url) as replica:
        answers = await asyncio.gather(
            hammer(engine, execution_ids, 1),
            hammer(replica, execution_ids, 2),
            hammer(replica, execution_ids, 3),
        )
    recorded = [verdict for verdicts in answers for verdict in verdicts].count(Verdict.RECORDED)
    assert recorded == EXECUTIONS * EVENTS
    for execution_id in execution_ids:
        log = await engine.log(execution_id)
        assert [event.version for event in log] == list(range(1, EVENTS + 3))
        assert sorted(event.event_id for event in log if event.event_type == "order.noted") == list(
            range(1, EVENTS + 1)
        )
        moments = [event.recorded_at for event in log]
        assert moments == sorted(moments)


async def test_two_replicas_that_settle_the_same_command_decide_once(
    engine: Engine, database_url: str
) -> None:
    await engine.register("{playbook: t/two, steps: [{name: a, tool: noop}, {name: b, tool: noop}]}")
    execution_ids = [await engine.start("t/two") for _ in range(20)]
    commands = await engine.claim(20)
    async with running_engine(database_url) as replica:
        for command in commands:
            both = await asyncio.gather(engine.complete(command, 1), replica.complete(command, 1))
            assert sorted(answer.verdicts[0].verdict for answer in both) == ["duplicate", "recorded"]
    for execution_id in execution_ids:
        types = await engine.types(execution_id)
        assert types.count("command.issued") == 2
        assert types.count("step.completed") == 1


PROMOTED = """
alter table playlog.event disable trigger all;
delete from playlog.event where version = 3;
alter table playlog.event enable trigger all;
update playlog.execution e set version = 2, last_event_id = l.event_id, recorded_at = l.recorded_at
from playlog.event l where l.execution_id = e.execution_id and l.version = 2;
"""
"""The last event never reached the standby."""
CHAIN = "playbook: t/chain\nsteps:\n" + "".join(
    f'  - {{name: s{n}, tool: noop, with: {{before: "${{ steps.s{n - 1}.output }}"}}}}\n'
    if n
    else "  - {name: s0, tool: noop}\n"
    for n in range(6)
)


async def test_replicas_that_take_turns_on_an_execution_never_trust_a_stale_state(
    engine: Engine, database_url: str
) -> None:
    await engine.register(CHAIN)
    async with running_engine(database_url) as replica:
        execution_id = await engine.start("t/chain")
        for turn in range(6):
            (command,) = await engine.claim()
            if turn:
                assert orjson.loads(command.input) == {"before": turn - 1}
            await (replica if turn % 2 else engine).complete(command, turn)
    log = await engine.log(execution_id)
    assert [event.version for event in log] == list(range(1, len(log) + 1))
    assert log[-1].event_type == "execution.completed"
    assert len(log) == 2 + 3 * 6


@pytest.mark.parametrize("between", [False, True], ids=["alone", "another in between"])
async def test_what_was_rolled_back_after_it_was_remembered_is_not_believed(
    engine: Engine, connection: asyncpg.Connection, between: object
) -> None:
    """The remembered state is ahead of the head, or as far as it with another last event."""
    await engine.register(ONE)
    execution_id = await engine.start("t/one")
    first, second = Context(), Context()

    async def told(context: Context, name: str) -> None:
        event = engine_event(
            EventType.SIGNAL_RECEIVED, {"name": name, "data": 1}, event_id=derive_id("test", name)
        )
        request = Request(execution_id=execution_id, events=(event,), origin=Origin.ENGINE)
        (outcome,), _ = await append(connection, [request], context)
        assert outcome.verdicts[0].verdict is Verdict.RECORDED

    unlucky = connection.transaction()
    await unlucky.start()
    await told(first, "never")
    await unlucky.rollback()
    if between:
        await told(second, "between")
    await told(first, "then")
    known = first.cache.take(execution_id)
    assert known is not None
    assert list(known.state.mailbox) == (["between", "then"] if between else ["then"])
    assert encode(known.state) == encode(await engine.state(execution_id))


async def test_what_a_lost_server_had_committed_is_not_believed_of_the_one_that_took_its_place(
    connection: asyncpg.Connection, database_url: str
) -> None:
    async with running_engine(database_url, writers=1) as engine, running_engine(database_url) as replica:
        await engine.register(ONE)
        execution_id = await engine.start("t/one")
        await signal(engine.appender, execution_id, "lost", 1)
        await connection.execute(PROMOTED)
        for name in ("first", "second"):
            await signal(replica.appender, execution_id, name, 1)
        (writer,) = engine.appender._writers
        assert writer.connection is not None
        await connection.execute("select pg_terminate_backend($1)", writer.connection.get_server_pid())
        await signal(engine.appender, execution_id, "third", 1)
        known = writer.context.cache.take(execution_id)
        assert known is not None
        assert list(known.state.mailbox) == ["first", "second", "third"]


async def test_one_request_that_cannot_be_stored_takes_no_other_along(engine: Engine) -> None:
    await engine.register(ONE)
    execution_ids = [await engine.start("t/one") for _ in range(9)]
    bad = NewEvent(event_type="x" * 200, status="RUNNING", event_id=1)
    good = notes()[0]
    requests = [
        Request(execution_id=execution_id, events=(bad if place == 4 else good,))
        for place, execution_id in enumerate(execution_ids)
    ]
    answers = await asyncio.gather(
        *(engine.appender.submit(request) for request in requests), return_exceptions=True
    )
    failed = [place for place, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == [4]
    for place, execution_id in enumerate(execution_ids):
        assert (await engine.types(execution_id)).count("order.noted") == (place != 4)


async def test_the_log_refuses_update_and_delete(engine: Engine) -> None:
    await engine.register(ONE)
    await engine.start("t/one")
    for change in (
        "update playlog.event set status = 'X'",
        "delete from playlog.event",
        "truncate playlog.event",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await engine.connection.execute(change)
