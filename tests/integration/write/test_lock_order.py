"""No transaction waits for a lock that comes before one it holds: what is executed is held to the order."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from engine.domain.ids import first_id_at
from engine.language import parse
from engine.read.cache import StateCache
from engine.read.incidents import report_unreadable
from engine.read.projection import project
from engine.runtime import database
from engine.runtime.database import checkout, open_pool
from engine.write import catalog
from engine.write.executions import StartOrder, cancel, pause, reopen, resume, signal, start_request
from engine.write.liveness import report_stalled
from engine.write.partitions import ensure_ahead, make_for
from engine.write.store import COPY_FROM
from scheduler.due import DueRole
from scheduler.liveness import IncidentRole, StalledRole
from scheduler.sweep import sweeps
from tests.support import servers
from tests.support.eventually import eventually
from tests.support.internal_api import Client, result, serving
from tests.support.locks import (
    COPY,
    DETACH,
    EARLIER,
    FRESH,
    HELD,
    ORDER,
    WITHIN,
    Record,
    locked_tables,
    locking_within,
    offences,
    recording,
)
from tests.support.outbox import a_publisher, drain, publisher_settings
from tests.support.projecting import messages
from tests.support.retention import WAITING, begin, end, purged, this_month

if TYPE_CHECKING:
    import asyncpg

    from publisher.role import Publisher

ELSEWHERE = dict.fromkeys(
    ("migration.record", "migration.try_lock"), "migrations run alone, under an advisory lock"
)
APPEND = ("append.claim_keys", "append.lock_heads")
EMPTYING = ("retention.remember", "retention.empty")
EVERYTHING = """
playbook: t/everything
steps:
  - {name: a, tool: noop, retry: {max_attempts: 2, delay: 1ms}}
  - {name: ask, wait: {event: go, timeout: 1h}}
  - {name: child, tool: playbook, with: {playbook: t/child}}
  - {name: b, tool: noop}
"""
SAGA = """
playbook: t/saga
steps:
  - {name: a, tool: noop, compensate: {tool: noop, retry: {max_attempts: 1}}}
  - {name: ask, wait: {event: go, timeout: 1h}}
"""
LIMITED = "{playbook: t/limited, steps: [{name: a, tool: noop, concurrency: {key: \"'k'\", limit: 1}}]}"
LONG_AGO = "update playlog.command set claimed_at = claimed_at - interval '1 min' where state = 'claimed'"
DUE = """
update playlog.timer set due_at = clock_timestamp() - interval '1 s';
insert into playlog.timer (execution_id, timer_key, due_at) values (99, 'a', clock_timestamp());
update playlog.command set leased_until = clock_timestamp() - interval '1 s' where state = 'claimed';
insert into playlog.command (command_id, execution_id, step, attempt, tool, pool, input, timeout_seconds,
    available_at, state, lease_token, leased_until, deadline)
values (99, 99, 'a', 1, 'noop', 'default', '1', 1, now(), 'claimed', 1, now() - interval '1 s', now());
insert into playlog.delivery (target_execution_id, kind, event_id, payload, attempts, available_at)
values (99, 'cancel', 1, '{}', 60, now() - interval '5 s');
"""
DEAD = """
insert into playlog.outbox_dead (outbox_id, shard, execution_id, first_version, last_version, event_id,
    subject, payload, attempts, created_at)
values (900001, 1, 17, 1, 1, 5, 's', '{}', 20, now())
"""
EXPIRED = "select count(*) > 0 from playlog.event where event_type = 'command.expired'"
CHILD = "{playbook: t/child, steps: [{name: c, tool: noop}]}"


async def test_every_table_that_a_statement_locks_has_its_place_in_the_order(
    connection: asyncpg.Connection,
) -> None:
    found = await locked_tables(connection)
    assert set().union(*found.values()) - {"migration"} == set(ORDER) - {"schedule"}
    assert HELD.keys() | FRESH.keys() | EARLIER.keys() | ELSEWHERE.keys() <= found.keys()
    assert [name for name, tables in (HELD | FRESH).items() if not tables.keys() <= found[name]] == []


async def test_every_statement_that_locks_inside_a_function_is_known(connection: asyncpg.Connection) -> None:
    assert await locking_within(connection) == WITHIN.keys() - {COPY, DETACH}


async def test_claims_and_heartbeats_lock_commands_only(connection: asyncpg.Connection) -> None:
    found = await locked_tables(connection)
    for name in ("claim", "extend", "announced", "release", "postpone", "purge"):
        assert found[f"commands.{name}"] == {"command"}


@pytest.mark.parametrize(
    ("transaction", "expected"),
    [
        ([*APPEND, "append.record", "append.set_timers", "append.insert_deliveries"], []),
        ([*APPEND, "append.insert_heads", COPY, "append.record"], []),
        ([*APPEND, "append.move_deadlines", "append.record", "append.hold_commands"], []),
        ([*APPEND, "append.hold_commands", "append.record"], ["append.record after append.hold_commands"]),
        (["append.record"], ["append.record without append.lock_heads"]),
        ([*APPEND, "append.record", "append.lock_heads"], ["append.lock_heads after append.record"]),
        ([*APPEND, "append.set_timers", "append.record"], ["append.record after append.set_timers"]),
        ([*APPEND, COPY, "append.insert_heads"], ["append.insert_heads after COPY"]),
        (["append.lock_heads", "append.claim_keys"], ["append.claim_keys after append.lock_heads"]),
        (["append.set_timers", "commands.extend"], ["commands.extend after append.set_timers"]),
        (["append.set_timers", "commands.claim"], []),
        (["shards.forget_checkpoints", "outbox.redrive", "audit.note"], []),
        (["outbox.redrive", "shards.forget_checkpoints"], ["shards.forget_checkpoints after outbox.redrive"]),
        (["retention.lock", "retention.stop_inserts", "retention.stop_readers", *EMPTYING], []),
        (["retention.stop_inserts", "retention.lock"], ["retention.lock after retention.stop_inserts"]),
        (["retention.hold", "retention.stop_inserts"], ["retention.stop_inserts after retention.hold"]),
        ([*APPEND, "permits.lock", "append.record"], []),
        ([*APPEND, "append.record", "permits.lock"], ["permits.lock after append.record"]),
        (["partitions.wait_lock", "partitions.add"], ["partitions.add without partitions.limit_waiting"]),
    ],
)
async def test_a_lock_out_of_order_is_seen(
    connection: asyncpg.Connection, transaction: list[str], expected: list[str]
) -> None:
    assert offences(transaction, await locked_tables(connection)) == expected


async def test_what_every_part_of_the_engine_executes_keeps_to_the_order(
    database_url: str, nats_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that locks and is never executed here fails the test too: nobody has looked at it."""
    locks, record = await locked_tables(connection), Record()
    monkeypatch.setattr(database, "SessionlessConnection", recording(record))
    settings = publisher_settings(database_url, nats_url)
    async with (
        serving(database_url, nats_url=nats_url) as client,
        a_publisher(settings) as publisher,
        await open_pool(settings) as pool,
    ):
        await executions(client, pool)
        await everything_due(client, pool)
        await outbox(client, publisher, nats_url)
        await reading(client, pool)
        await retaining(client, pool)
    assert record.strangers == set()
    assert [found for each in record.transactions if (found := offences(each, locks))] == []
    assert {name for name, tables in locks.items() if tables} - record.seen == ELSEWHERE.keys()


async def executions(client: Client, pool: asyncpg.Pool) -> None:
    """Starts with keys, commands of every fate, waits, a child and its cancel, another system's events."""
    desk = client.api.desk
    async with checkout(pool) as lent:
        for source in (CHILD, EVERYTHING, SAGA, LIMITED):
            await catalog.register(lent, parse(source.encode()), source)
        await catalog.pause(lent, "t/child", paused=False)
        for name in ("one", "two"):
            resolved, definition = await desk.definitions.resolve(lent, "t/child", None)
            order = StartOrder(playbook="t/child", key="k", idempotency_key=name)
            await desk.appender.submit(start_request(definition, resolved, order))
    await steered(client)
    for _ in range(2):
        await client.start("t/limited")
    first = await to_the_child(client)
    await cancel(desk.appender, first)
    await desk.deliveries.step()
    second = await to_the_child(client)
    while await work(client):
        await desk.deliveries.step()
    assert (await client.engine.types(second))[-1] == "execution.completed"
    row = {"execution_id": 4711, "event_type": "step.exit"}
    rows = [{**row, "event_id": number} for number in range(1, COPY_FROM + 1)]
    assert (await client.post("/events/project", {"events": rows})).body["projected"] == COPY_FROM


async def steered(client: Client) -> None:
    """A pause and its end, a retry, a cancel that undoes a step, and what cannot be undone."""
    appender = client.api.desk.appender
    execution_id = await client.start("t/saga")
    await pause(appender, execution_id)
    await cancel(appender, execution_id)
    await reopen(client.api.borrow, appender, execution_id)
    await pause(appender, execution_id)
    await resume(appender, execution_id)
    assert await work(client)
    await cancel(appender, execution_id, compensate=True)
    failed = {"status": "failed", "error": {"code": "no", "message": "no"}}
    await client.settle(*({**result(command), **failed} for command in await client.claim()))
    assert (await client.engine.types(execution_id))[-1] == "execution.cancelled"


async def to_the_child(client: Client) -> int:
    """Fail the first attempt, be seen with the second, give it back, complete it, and let the wait end."""
    execution_id = await client.start("t/everything")
    failed = {"status": "failed", "error": {"code": "busy", "message": "busy"}}
    (command,) = await mine(client, execution_id)
    await client.settle({**result(command), **failed})
    (command,) = await mine(client, execution_id)
    await client.engine.connection.execute(LONG_AGO)
    for route in ("/commands/heartbeat", "/commands/release"):
        assert (await client.post(route, {"worker_id": "w1", "commands": [lease(command)]})).status == 200
    (command,) = await mine(client, execution_id)
    await client.settle(result(command), claim={"pool": "another", "limit": 1})
    await signal(client.api.desk.appender, execution_id, "go", None)
    await client.api.desk.deliveries.step()
    assert "child.started" in await client.engine.types(execution_id)
    return execution_id


async def mine(client: Client, execution_id: int) -> list[dict[str, Any]]:
    """Claim everything until the command of this execution is among what was claimed."""

    async def claimed() -> list[dict[str, Any]]:
        commands = await client.claim(limit=10)
        found = [command for command in commands if command["execution_id"] == str(execution_id)]
        assert found
        return found

    return await eventually(claimed)


async def work(client: Client) -> int:
    commands = await client.claim(limit=10)
    await client.settle(*(result(command) for command in commands))
    return len(commands)


def lease(command: dict[str, Any]) -> dict[str, str]:
    return {name: command[name] for name in ("command_id", "lease_token")}


async def everything_due(client: Client, pool: asyncpg.Pool) -> None:
    """A timer of a running wait, one of nobody, leases of a command and of nobody, a delivery to nobody."""
    await client.start("t/child")
    await client.claim()
    execution_id = await client.start("t/everything")
    (command,) = await mine(client, execution_id)
    await client.settle(result(command))
    await client.engine.connection.execute(DUE)
    await DueRole(pool, client.api.desk.appender).step()
    assert await client.engine.value("select count(*) from playlog.delivery") == 0
    assert await client.engine.value("select count(*) from playlog.timer where execution_id = 99") == 0
    assert await client.engine.value(EXPIRED)


async def outbox(client: Client, publisher: Publisher, nats_url: str) -> None:
    """Both ways to publish, a message that dies and comes back, one that is discarded, and a lost stream."""
    (leased,) = (await client.post("/outbox/claim", {"limit": 1})).body["rows"]
    await client.post("/outbox/mark-published", {"outbox_ids": [leased["outbox_id"]]})
    (leased,) = (await client.post("/outbox/claim", {"limit": 1})).body["rows"]
    failure = {"outbox_id": leased["outbox_id"], "error": "no", "attempts": 25}
    await client.post("/outbox/mark-failed", failure)
    await drain(publisher)
    await client.post("/outbox/mark-failed", failure)
    assert (await client.post("/outbox/redrive", {"all": True})).body == {"redriven": 1}
    await client.engine.connection.execute(DEAD)
    discarding = {"all": True, "reason": "nobody wants it"}
    assert (await client.post("/outbox/discard", discarding)).body == {"discarded": 1}
    await servers.delete_streams(nats_url)
    publisher._watch.doubt()
    await drain(publisher)
    assert await client.engine.value("select max(generation) from playlog.shard") == 2


async def reading(client: Client, pool: asyncpg.Pool) -> None:
    """Projections by message and by log, the sweeps, incidents, and lines of tools."""
    await client.start("t/child")
    async with checkout(pool) as lent:
        await project(lent, await messages(client.engine.connection), StateCache())
        await report_stalled(lent, [5])
        async with lent.transaction():
            await report_unreadable(lent, {"a subject": "unreadable"})
    for role in sweeps(pool, lambda _, __: None):
        await role.step()
    await StalledRole(pool).step()
    await IncidentRole(pool, 60.0).step()
    everyone = await client.engine.value("select array_agg(execution_id) from playlog.execution")
    for route in ("/projection/advance", "/projection/rebuild"):
        assert (await client.post(route, {"execution_ids": everyone})).body["failed"] == []
    line = {"command_id": "7", "seq": 1, "execution_id": "5", "step": "a", "attempt": 1}
    line |= {"at": "2026-01-02T03:04:05.000000Z", "stream": "stdout", "line": "hello"}
    assert (await client.post("/logs", {"lines": [line]})).status == 200


async def retaining(client: Client, pool: asyncpg.Pool) -> None:
    """A payload, a hold, months made ahead and on demand, and the purge of one in which all is over."""
    month = this_month().next
    await client.engine.register(WAITING)
    execution_id = await begin(client.engine, month, 1)
    path = f"/api/internal/payloads/{sha256(b'1').hexdigest()}?execution_id={execution_id}"
    async with client.session.put(path, data=b"1", headers=client.headers) as stored:
        assert stored.status == 200
    await end(client.engine, execution_id)
    hold = {"name": "one", "reason": "none", "execution_id": str(execution_id)}
    assert (await client.post("/retention/holds", hold)).status == 200
    assert (await client.delete("/retention/holds/one")).status == 200
    assert (await client.post("/cleanup/purge", {"dead_retention_days": 1})).status == 200
    async with checkout(pool) as lent:
        assert await ensure_ahead(lent, 3)
        assert not await make_for(lent, [first_id_at(month.over)])
        assert (await purged(lent, month)).event_partitions_dropped == 1
