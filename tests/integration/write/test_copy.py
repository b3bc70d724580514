"""A large append is written by COPY, a small one by `unnest`: the log and the outbox cannot tell which."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import orjson
import pytest

from engine.domain.admit import Verdict
from engine.domain.events import NewEvent
from engine.domain.ids import first_id_at
from engine.domain.json_values import Unstorable
from engine.domain.rowshape import normalize_row
from engine.write.requests import Request
from engine.write.store import COPY_FROM
from engine.write.writer import appending
from tests.support.crashing import Plan, crashing
from tests.support.engine import Engine

FIRST = first_id_at(datetime(2026, 1, 1, tzinfo=UTC))
PAYLOADS: list[object] = [
    None,
    {},
    {"b": 1, "a": None},
    "née 😀 \u2028",
    0,
    1.5,
    [],
    True,
    {"x": {"y": ["\\u0041", "\\"]}},
]
COLUMNS = """version, event_id, event_type, step, attempt, item, status, payload::text, payload is null,
    meta::text, meta is null, content_hash, command_id, causation_id, traceparent, created_at"""
HEAD = """
insert into playlog.execution (execution_id, version, recorded_at, status) values ($1, 0, now(), 'pending')
"""
OUTBOX = "select payload from playlog.outbox where execution_id = $1 order by outbox_id"
MOST_STATEMENTS = 20


def event(number: int) -> NewEvent:
    payload = PAYLOADS[number % len(PAYLOADS)]
    return NewEvent(
        event_type="order.noted",
        status="RUNNING",
        event_id=number,
        step=None if number % 2 else "näh",
        attempt=number % 3 or None,
        payload=payload,
        meta=None if number % 5 else {"n": number, "none": None},
        encoded=orjson.dumps(payload) if number % 4 else None,
        causation_id=number if number % 7 else None,
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        created_at=datetime(2026, 1, 2, 3, 4, 5, number % 2 * 1000, tzinfo=UTC),
    )


async def record(engine: Engine, execution_id: int, parts: list[list[NewEvent]]) -> None:
    await engine.connection.execute(HEAD, execution_id)
    for part in parts:
        outcome = await engine.appender.submit(Request(execution_id=execution_id, events=tuple(part)))
        assert outcome.count(Verdict.RECORDED) == len(part)


async def told(engine: Engine, execution_id: int) -> list[dict[str, object]]:
    """The events in all messages of an execution, without when they were recorded."""
    rows = await engine.connection.fetch(OUTBOX, execution_id)
    events = [each for row in rows for each in orjson.loads(row["payload"])["events"]]
    return [{name: value for name, value in each.items() if name != "recorded_at"} for each in events]


@pytest.mark.parametrize("count", [COPY_FROM - 1, COPY_FROM, 49, 51])
async def test_any_split_of_a_batch_gives_the_same_rows_and_messages(engine: Engine, count: int) -> None:
    events = [event(number) for number in range(1, count + 1)]
    splits = [[events], [[each] for each in events], [events[: count // 2], events[count // 2 :]]]
    for place, parts in enumerate(splits):
        await record(engine, FIRST + place, parts)
    logs = [
        await engine.connection.fetch(
            f"select {COLUMNS} from playlog.event where execution_id = $1 order by version", FIRST + place
        )
        for place in range(len(splits))
    ]
    assert [len(log) for log in logs] == [count] * 3
    assert logs[0] == logs[1] == logs[2]
    messages = [await told(engine, FIRST + place) for place in range(len(splits))]
    assert [each["version"] for each in messages[0]] == list(range(1, count + 1))
    assert messages[0] == messages[1] == messages[2]


@pytest.mark.parametrize("count", [1, 3 * COPY_FROM])
async def test_a_text_that_postgres_refuses_stays_with_its_own_request(engine: Engine, count: int) -> None:
    for place in (0, 1):
        await engine.connection.execute(HEAD, FIRST + place)
    good = [event(number) for number in range(1, count + 1)]
    bad = [*good[:-1], good[-1]._replace(step="a\0b")]
    answers = await engine.appender.submit_each(
        [Request(execution_id=FIRST, events=tuple(bad)), Request(execution_id=FIRST + 1, events=tuple(good))]
    )
    assert isinstance(answers[0], Exception)
    assert (await engine.log(FIRST), len(await engine.log(FIRST + 1))) == ([], count)


def test_a_row_with_nul_never_reaches_the_append() -> None:
    with pytest.raises(Unstorable, match="bad_text"):
        normalize_row({"execution_id": 1, "event_id": 2, "event_type": "x", "result": {"a": "b\0"}})


@pytest.mark.parametrize("after", [False, True], ids=["before the server", "after its answer"])
async def test_a_connection_that_breaks_at_any_statement_of_a_large_append_records_it_once(
    engine: Engine, database_url: str, after: object
) -> None:
    plan = Plan()
    kind = crashing(plan)
    points = 0
    events = tuple(event(number) for number in range(1, 3 * COPY_FROM))
    async with appending(
        lambda: asyncpg.connect(database_url, connection_class=kind, timeout=10, command_timeout=30),
        lambda _: None,
        1,
    ) as fragile:
        for at in range(1, MOST_STATEMENTS):
            await engine.connection.execute(HEAD, FIRST + at)
            plan.arm(at, after=bool(after))
            outcome = await fragile.submit(Request(execution_id=FIRST + at, events=events))
            assert outcome.version == len(events)
            assert [each["version"] for each in await told(engine, FIRST + at)] == list(
                range(1, len(events) + 1)
            )
            if not plan.fired:
                break
            points += 1
    assert points == len(["BEGIN", "heads", "COPY", "record", "COMMIT"])


async def test_an_event_for_no_partition_is_out_of_range_by_copy_too(engine: Engine) -> None:
    far = first_id_at(datetime(2080, 1, 1, tzinfo=UTC))
    await engine.connection.execute(HEAD, far)
    events = tuple(event(number) for number in range(1, 3 * COPY_FROM))
    (answer,) = await engine.appender.submit_each([Request(execution_id=far, events=events)])
    assert getattr(answer, "code", None) == "id_out_of_range"
