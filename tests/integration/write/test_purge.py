"""Retention removes whole partitions, and only by the proof that nobody needs anything in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from engine.domain.retention import Range
from engine.errors import Purged
from engine.read.projection import advance
from engine.write import holds, partitions, remnants, retention
from engine.write.executions import cancel, signal
from engine.write.materialize import Intake
from engine.write.partitions import leaves
from tests.support.engine import Engine
from tests.support.eventually import eventually
from tests.support.retention import (
    WAITING,
    begin,
    end,
    make,
    noted,
    purged,
    rows_of,
    tables,
    this_month,
)

MONTH = this_month()
KEPT = {MONTH.leaf, f"payload_{MONTH.suffix}", f"step_log_{MONTH.suffix}"}
ROW = {"event_type": "noted", "timestamp": "2024-01-02T00:00:00Z"}
LINE = "insert into playlog.step_log values ($1, 1, 1, 'a', 1, 'log', 'line', now())"
PAYLOAD = "insert into playlog.payload (execution_id, sha256, bytes, body) values ($1, $2, 1, 'x')"
REOPEN = "update playlog.execution set ended_at = null where execution_id = $1"
EVENT = (
    "insert into playlog.event (execution_id, version, event_id, event_type, status, content_hash,"
    " created_at, recorded_at) values ($1, 4, 4, 'execution.reopened', 'RUNNING', $2, now(), now())"
)
KEY = "insert into playlog.idempotency values ('key', $1, $2, $3)"


@pytest.fixture
async def ended(engine: Engine) -> list[int]:
    """Three executions of this month that have ended, with all that belongs to them."""
    await engine.register(WAITING)
    ids = [await begin(engine, MONTH, number) for number in (1, 2, 3)]
    await end(engine, *ids)
    await advance(engine.connection, ids)
    for execution_id in ids:
        await engine.connection.execute(LINE, execution_id)
        await engine.connection.execute(PAYLOAD, execution_id, bytes(32))
    return ids


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOCK_TRIES", 2)
    monkeypatch.setattr(remnants, "DETACH_SECONDS", 0.3)


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=30)
    yield connection
    await connection.close()


async def test_a_live_execution_keeps_its_partition_and_is_named(engine: Engine, ended: list[int]) -> None:
    live = await begin(engine, MONTH, 9)
    await engine.connection.execute("delete from playlog.outbox")
    kept = await purged(engine.connection, MONTH)
    (held,) = kept.held
    assert held["partition"] == MONTH.leaf
    assert held["reason"].split("; ") == [
        f"execution {live} is live",
        f"1 timer waits, of execution {live}",
    ]
    assert (kept.events_purged, kept.event_partitions_dropped, kept.executions_purged) == (0, 0, 0)
    assert await tables(engine.connection, MONTH) == KEPT
    assert (await rows_of(engine.connection, MONTH))["execution"] == len(ended) + 1


async def test_a_partition_that_nobody_needs_goes_while_appends_go_on(
    engine: Engine, ended: list[int], other: asyncpg.Connection
) -> None:
    going = True

    async def append_on() -> list[int]:
        started: list[int] = []
        while going:
            started.append(await begin(engine, MONTH.next, len(started) + 1))
        return started

    appending = asyncio.create_task(append_on())
    gone = await purged(other, MONTH)
    going = False
    started = await appending
    assert (gone.events_purged, gone.event_partitions_dropped, gone.held) == (1, 1, [])
    assert (gone.payload_partitions_dropped, gone.log_partitions_dropped) == (1, 1)
    assert (gone.executions_purged, gone.snapshots_purged) == (3, 3)
    assert await tables(engine.connection, MONTH) == set()
    assert set((await rows_of(engine.connection, MONTH)).values()) == {0}
    assert (await rows_of(engine.connection, MONTH.next))["execution"] == len(started) > 0
    again = await purged(engine.connection, MONTH)
    assert (again.events_purged, again.event_partitions_dropped, again.held) == (0, 0, [])


async def test_a_partition_in_the_middle_goes_although_an_older_one_has_to_stay(
    engine: Engine, ended: list[int]
) -> None:
    older = MONTH
    await begin(engine, older, 9)
    await make(engine.connection, older.next)
    await end(engine, await begin(engine, older.next, 1))
    done = await purged(engine.connection, older.next)
    assert [held["partition"] for held in done.held] == [older.leaf]
    assert done.event_partitions_dropped == 1
    assert await tables(engine.connection, older) == KEPT
    assert await tables(engine.connection, older.next) == set()


async def test_a_dry_run_changes_nothing_and_tells_what_the_purge_then_does(
    engine: Engine, ended: list[int]
) -> None:
    before = await rows_of(engine.connection, MONTH)
    told = await purged(engine.connection, MONTH, dry_run=True)
    assert await rows_of(engine.connection, MONTH) == before
    assert await tables(engine.connection, MONTH) == KEPT
    assert await engine.value("select count(*) from playlog.retention") == 0
    done = await purged(engine.connection, MONTH)
    compared = ("events_purged", "event_partitions_dropped", "executions_purged", "snapshots_purged")
    assert [getattr(told, name) for name in compared] == [getattr(done, name) for name in compared]


OUTBOX = "(outbox_id, shard, execution_id, first_version, last_version, event_id, subject, payload"
COMMAND = (
    "insert into playlog.command (command_id, execution_id, step, attempt, tool, pool, input,"
    " timeout_seconds, available_at, state, closed_at) values (1, $1, 'a', 1, 'noop', 'p', '{}', 1, now(), "
)
KEEPING = {
    "2 outbox messages wait, oldest of execution {id}": (
        f"insert into playlog.outbox {OUTBOX}) overriding system value"
        " select n, 0, $1, 1, 1, 1, 's', '' from generate_series(1, 2) n"
    ),
    "1 outbox message is dead, of execution {id}": (
        f"insert into playlog.outbox_dead {OUTBOX}, attempts, created_at)"
        " values (1, 0, $1, 1, 1, 1, 's', '', 20, now())"
    ),
    "1 delivery waits, to execution {id}": (
        "insert into playlog.delivery (target_execution_id, kind, event_id, payload)"
        " values ($1, 'x', 1, '{}')"
    ),
    "1 timer waits, of execution {id}": "insert into playlog.timer values ($1, 'k', now())",
    "1 command is open, of execution {id}": COMMAND + "'pending', null)",
    "1 closed command is kept, of execution {id}": COMMAND + "'closed', now())",
    "1 shard is being refilled": (
        "update playlog.shard set refill_after = 0, refill_from = now()"
        " where shard = 3 and $1::bigint is not null"
    ),
    "execution {id} has recorded something since then": (
        "update playlog.execution set recorded_at = now() + interval '100 days' where execution_id = $1"
    ),
    "execution {id} is live": "update playlog.execution set ended_at = null where execution_id = $1",
}


@pytest.mark.parametrize("reason", KEEPING)
async def test_whatever_still_needs_a_partition_keeps_it(
    engine: Engine, ended: list[int], reason: str
) -> None:
    await engine.connection.execute(KEEPING[reason], ended[0])
    for dry_run in (True, False):
        kept = await purged(engine.connection, MONTH, dry_run=dry_run)
        assert kept.held == [{"partition": MONTH.leaf, "reason": reason.format(id=ended[0])}]
    assert await tables(engine.connection, MONTH) == KEPT
    assert (await rows_of(engine.connection, MONTH))["event"] > 0


async def test_a_hold_keeps_what_it_covers_until_it_is_lifted(engine: Engine, ended: list[int]) -> None:
    held = Range(ended[1], ended[1] + 1)
    assert await holds.place(engine.connection, "audit-2026", held, "the auditors", actor="ann") == []
    kept = await purged(engine.connection, MONTH)
    assert kept.held == [{"partition": MONTH.leaf, "reason": "hold 'audit-2026': the auditors"}]
    await holds.lift(engine.connection, "audit-2026", actor="ann")
    assert (await purged(engine.connection, MONTH)).event_partitions_dropped == 1
    assert await holds.place(engine.connection, "late", held, "too late", actor="ann") == [MONTH.suffix]
    acts = await engine.connection.fetch("select actor, action from playlog.audit order by audit_id")
    assert [tuple(act) for act in acts] == [
        ("ann", "hold.place"),
        ("playlog", "log.purge"),
        ("ann", "hold.lift"),
        ("playlog", "log.purge"),
        ("ann", "hold.place"),
    ]


async def test_a_callers_key_goes_with_its_execution_and_no_other(engine: Engine, ended: list[int]) -> None:
    await engine.connection.execute(KEY, "mine", bytes(16), ended[0])
    await engine.connection.execute(KEY, "other", bytes(16), MONTH.next.id(1))
    await engine.connection.execute("update playlog.idempotency set created_at = $1", MONTH.first)
    await purged(engine.connection, MONTH)
    keys = await engine.connection.fetch("select idempotency_key from playlog.idempotency")
    assert [row["idempotency_key"] for row in keys] == ["other"]


async def test_the_lowest_partition_is_emptied_and_stays_open_above_what_it_held(engine: Engine) -> None:
    intake = Intake(engine.appender, engine.checkout)
    old = [{**ROW, "execution_id": number, "event_id": number} for number in (5, 7)]
    assert (await intake.project(old)).materialized == 2
    await engine.connection.execute("delete from playlog.outbox")
    await engine.connection.execute(LINE, 7)
    before = await leaves(engine.connection)
    gone = await purged(engine.connection, MONTH)
    assert gone.events_purged == 2  # the month is empty, and old enough as well
    assert gone.event_partitions_dropped == 1
    assert gone.executions_purged == 2
    assert (await leaves(engine.connection))["event"][0] == before["event"][0]
    fresh = Intake(engine.appender, engine.checkout)
    more = [{**ROW, "execution_id": number, "event_id": number} for number in (6, 8)]
    answer = await fresh.project(more)
    assert answer.materialized == 1
    assert [(each.index, each.code) for each in answer.rejected] == [(0, "purged")]
    assert await engine.value("select count(*) from playlog.step_log") == 0
    await engine.connection.execute("delete from playlog.outbox")
    assert (await purged(engine.connection, MONTH)).executions_purged == 1
    assert (await fresh.project([{**ROW, "execution_id": 9, "event_id": 9}])).materialized == 1


async def test_an_append_that_waits_for_the_purge_is_refused_as_purged(
    engine: Engine, ended: list[int], other: asyncpg.Connection
) -> None:
    """It holds its head when the proof is made, and its events arrive when those before them are gone."""
    foreign = MONTH.id(50)
    await Intake(engine.appender, engine.checkout).project([{**ROW, "execution_id": foreign, "event_id": 1}])
    await engine.connection.execute("delete from playlog.outbox")
    (leaf,) = [each for each in (await leaves(other))["event"] if each.name == MONTH.leaf]
    async with other.transaction():
        assert await retention._empty(other, leaf, MONTH.over) == []
        late = asyncio.create_task(engine.appender.submit(noted(foreign, 77)))
        await somebody_waits_for_a_lock(other)
    with pytest.raises(Purged):
        await late
    assert (await rows_of(engine.connection, MONTH))["event"] == 0
    assert (await purged(engine.connection, MONTH)).event_partitions_dropped == 1


async def test_what_is_being_recorded_while_the_proof_is_made_counts(
    engine: Engine, ended: list[int], other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_WAIT", "10s")
    (leaf,) = [each for each in (await leaves(other))["event"] if each.name == MONTH.leaf]
    async with other.transaction():
        await other.execute(REOPEN, ended[0])
        await other.execute(EVENT, ended[0], bytes(16))
        purging = asyncio.create_task(retention._give_up(engine.connection, leaf, MONTH.over))
        await somebody_waits_for_a_lock(other)
    assert await purging == [f"execution {ended[0]} is live"]
    assert (await rows_of(other, MONTH))["event"] == 3 * len(ended) + 1


async def somebody_waits_for_a_lock(connection: asyncpg.Connection) -> None:
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"

    async def check() -> None:
        assert await connection.fetchval(waiting) == 1

    await eventually(check)


@pytest.mark.parametrize("whole", [False, True], ids=["only emptied", "gone"])
async def test_late_events_of_a_purged_execution_are_refused_and_bring_nothing_back(
    engine: Engine, ended: list[int], other: asyncpg.Connection, whole: object
) -> None:
    intake = Intake(engine.appender, engine.checkout)
    assert (await intake.project([{**ROW, "execution_id": MONTH.id(50), "event_id": 1}])).materialized == 1
    await engine.connection.execute("delete from playlog.outbox")
    await engine.connection.execute(LINE, MONTH.id(50))
    if whole:
        await purged(other, MONTH)
    else:
        (leaf,) = [each for each in (await leaves(other))["event"] if each.name == MONTH.leaf]
        assert await retention._give_up(other, leaf, MONTH.over) == []
    late = [{**ROW, "execution_id": MONTH.id(n), "event_id": n} for n in (50, 51)]
    answer = await intake.project(late)  # its horizon has not heard of the purge
    assert [(each.index, each.code) for each in answer.rejected] == [(0, "purged"), (1, "purged")]
    if whole:
        native = [{"execution_id": ended[0], "step": "a", "event_type": "other", "event_id": 5}]
        assert [each.code for each in (await intake.materialize(native)).rejected] == ["purged"]
        for command in (cancel(engine.appender, ended[0]), signal(engine.appender, ended[0], "go", 1)):
            with pytest.raises(Purged):
                await command
    await purged(other, MONTH)
    assert set((await rows_of(engine.connection, MONTH)).values()) == {0}


async def test_an_open_reader_delays_the_purge_and_the_next_one_goes_on(
    engine: Engine, ended: list[int], other: asyncpg.Connection, impatient: None
) -> None:
    async with other.transaction():
        await other.fetch(f"select count(*) from playlog.{MONTH.leaf}")
        kept = await purged(engine.connection, MONTH)
        assert kept.held == [{"partition": MONTH.leaf, "reason": retention.LOCKED}]
        assert (await rows_of(engine.connection, MONTH))["event"] > 0
    (leaf,) = [each for each in (await leaves(other))["event"] if each.name == MONTH.leaf]
    assert await retention._give_up(engine.connection, leaf, MONTH.over) == []
    async with other.transaction():
        await other.fetch("select count(*) from playlog.event")
        delayed = await purged(engine.connection, MONTH)
        assert {"partition": MONTH.leaf, "reason": remnants.DELAYED} in delayed.held
        assert (await begin(engine, MONTH.next, 1)) == MONTH.next.id(1)
    assert (await purged(engine.connection, MONTH)).event_partitions_dropped == 1
    assert await tables(engine.connection, MONTH) == set()


async def test_two_purges_at_once_do_it_together(
    engine: Engine, ended: list[int], other: asyncpg.Connection
) -> None:
    both = await asyncio.gather(purged(engine.connection, MONTH), purged(other, MONTH))
    assert sum(each.executions_purged for each in both) == len(ended)
    await purged(other, MONTH)
    assert await tables(other, MONTH) == set()
    assert set((await rows_of(other, MONTH)).values()) == {0}


async def test_a_partition_cannot_be_emptied_but_by_retention(engine: Engine, ended: list[int]) -> None:
    for change in (f"truncate playlog.{MONTH.leaf}", f"select playlog.empty_partition('{MONTH.suffix}')"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await engine.connection.execute(change)
    assert (await rows_of(engine.connection, MONTH))["event"] > 0
