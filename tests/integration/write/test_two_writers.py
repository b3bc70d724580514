"""P3, P5: several appenders on the same executions give one order, and each event once."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest

from engine.domain.admit import Verdict
from engine.domain.events import NewEvent
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
