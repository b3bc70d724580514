"""What nobody moves is an incident: opened once, seen again, resolved when it moves; never without cause."""

from __future__ import annotations

import asyncpg
import pytest

from engine.domain.incidents import IncidentKind
from engine.read.executions import incidents
from engine.read.projection import advance
from engine.runtime import metrics
from engine.write import executions
from engine.write.workers import WorkerSeen, seen
from scheduler.due import DueRole
from scheduler.liveness import IncidentRole, StalledRole
from tests.support.engine import Engine, result_of
from tests.support.undecided import undecided

GPU = "{playbook: t/gpu, steps: [{name: a, tool: noop, pool: gpu}, {name: b, tool: noop, pool: gpu}]}"
PARENT = "{playbook: t/parent, steps: [{name: a, tool: playbook, with: {playbook: t/wait}}]}"
WAIT = "{playbook: t/wait, steps: [{name: a, wait: {event: go, timeout: 24h}}]}"
SOON = "{playbook: t/soon, steps: [{name: a, wait: {for: 1ms}}]}"
OLDER = "update playlog.command set available_at = available_at - interval '2 min'"
QUIET = "update playlog.execution set recorded_at = recorded_at - interval '2 min'"
OPEN = "select kind, subject from playlog.incident where resolved_at is null order by kind, subject"
HISTORY = "select count(*), count(resolved_at) from playlog.incident where kind = $1"
PATIENCE = 60.0


@pytest.fixture
def due(engine: Engine, pool: asyncpg.Pool) -> DueRole:
    return DueRole(pool, engine.appender)


@pytest.fixture
def role(pool: asyncpg.Pool) -> IncidentRole:
    return IncidentRole(pool, PATIENCE)


@pytest.fixture
def stalled(pool: asyncpg.Pool) -> StalledRole:
    return StalledRole(pool)


async def opened(engine: Engine) -> list[tuple[str, str]]:
    return [tuple(row) for row in await engine.connection.fetch(OPEN)]


async def history(engine: Engine, kind: IncidentKind) -> tuple[int, int]:
    """How many incidents of a kind there ever were, and how many are resolved."""
    row = await engine.connection.fetchrow(HISTORY, kind.value)
    assert row is not None
    return tuple(row)


async def worker(engine: Engine, name: str = "w1", tools: list[str] | None = None) -> None:
    await seen(engine.connection, WorkerSeen(name, pool="gpu", tools=tools))


async def test_a_pool_without_workers_is_an_incident_until_one_appears(
    engine: Engine, role: IncidentRole
) -> None:
    await engine.register(GPU)
    execution_id = await engine.start("t/gpu")
    await role.step()
    assert await opened(engine) == []
    await engine.connection.execute(OLDER)
    await role.step()
    await role.step()
    assert await opened(engine) == [("pool_without_workers", "gpu")]
    assert metrics.incidents_open.labels("pool_without_workers")._value.get() == 1
    await advance(engine.connection, [execution_id])
    [found] = await incidents(engine.connection, execution_id)
    assert (found.kind, found.subject) == ("pool_without_workers", "gpu")
    assert found.seen_at > found.opened_at
    assert "no worker of it is known" in found.detail
    await worker(engine)
    await role.step()
    assert await opened(engine) == []
    assert await history(engine, IncidentKind.POOL_WITHOUT_WORKERS) == (1, 1)
    assert metrics.incidents_open.labels("pool_without_workers")._value.get() == 0


async def test_a_worker_that_is_silent_for_a_minute_serves_nobody(engine: Engine, role: IncidentRole) -> None:
    await engine.register(GPU)
    await engine.start("t/gpu")
    await engine.connection.execute(OLDER)
    await worker(engine)
    await role.step()
    assert await opened(engine) == []
    await engine.connection.execute("update playlog.runtime set seen_at = seen_at - interval '61 s'")
    await role.step()
    assert await opened(engine) == [("pool_without_workers", "gpu")]
    assert "was seen at" in str(await engine.value("select detail from playlog.incident"))


async def test_a_tool_that_no_live_worker_takes_is_an_incident_in_any_lane(
    engine: Engine, role: IncidentRole
) -> None:
    await engine.register(GPU)
    await engine.register(GPU.replace("t/gpu", "t/rare").replace("noop", "shell"))
    for priority in (5, 0, -5):
        await engine.start("t/gpu", priority=priority)
    await engine.start("t/rare", priority=-3)
    await engine.connection.execute(OLDER)
    await worker(engine, tools=["noop"])
    await role.step()
    assert await opened(engine) == [("tool_without_workers", "gpu/shell")]
    await worker(engine, "w2", tools=["shell"])
    await role.step()
    assert await opened(engine) == []


async def test_a_healthy_pool_with_a_long_queue_is_no_incident(
    engine: Engine, role: IncidentRole, stalled: StalledRole
) -> None:
    for source in (GPU, WAIT, PARENT):
        await engine.register(source)
    started = [await engine.start(path) for path in ("t/gpu", "t/gpu", "t/wait", "t/parent")]
    await engine.claim(1, pool="gpu")
    await worker(engine)
    for statement in (OLDER, QUIET, "update playlog.delivery set available_at = now() - interval '1 hour'"):
        await engine.connection.execute(statement)
    await advance(engine.connection, started)
    await role.step()
    await stalled.step()
    assert await opened(engine) == []


async def test_a_retry_that_waits_for_its_time_is_no_incident(engine: Engine, role: IncidentRole) -> None:
    await engine.register(GPU)
    await engine.start("t/gpu")
    await engine.connection.execute("update playlog.command set available_at = now() + interval '1 hour'")
    await role.step()
    assert await opened(engine) == []


async def test_an_execution_that_nobody_moves_is_stalled_until_it_moves(
    engine: Engine, role: IncidentRole, stalled: StalledRole
) -> None:
    await engine.register(GPU)
    started = [await engine.start("t/gpu") for _ in range(2)]
    await engine.connection.execute(QUIET)
    await engine.connection.execute("delete from playlog.command where execution_id = $1", started[0])
    await stalled.step()
    assert await opened(engine) == []  # what is not projected is not judged
    await advance(engine.connection, started)
    await stalled.step()
    await stalled.step()
    await role.step()
    assert await opened(engine) == [("stalled", str(started[0]))]
    [found] = await incidents(engine.connection, started[0])
    assert found.kind == "stalled"
    assert await incidents(engine.connection, started[1]) == []
    await executions.signal(engine.appender, started[0], "anything", None)
    await role.step()
    assert await opened(engine) == []
    await engine.connection.execute(QUIET)
    await advance(engine.connection, started)
    await stalled.step()
    assert await opened(engine) == [("stalled", str(started[0]))]
    await executions.cancel(engine.appender, started[0])
    await role.step()
    assert await opened(engine) == []
    assert await history(engine, IncidentKind.STALLED) == (2, 2)


async def test_a_child_that_has_not_begun_or_runs_moves_its_parent(
    engine: Engine, due: DueRole, stalled: StalledRole
) -> None:
    await engine.register(WAIT)
    await engine.register(PARENT)
    parent = await engine.start("t/parent")
    await advance(engine.connection, [parent])
    await engine.connection.execute(QUIET)
    await stalled.step()
    await engine.connection.execute("update playlog.delivery set available_at = now() - interval '1 hour'")
    await due.step()
    await engine.connection.execute(QUIET)
    await stalled.step()
    assert await opened(engine) == []
    await engine.connection.execute("delete from playlog.execution where parent_id = $1", parent)
    await stalled.step()
    assert await opened(engine) == [("stalled", str(parent))]


async def test_a_delivery_that_fails_again_and_again_is_an_incident_until_it_is_gone(
    engine: Engine, role: IncidentRole
) -> None:
    await engine.register(PARENT)
    parent = await engine.start("t/parent")
    await engine.connection.execute("update playlog.delivery set attempts = 4")
    await role.step()
    assert await opened(engine) == []
    await engine.connection.execute("update playlog.delivery set attempts = 5")
    await role.step()
    await role.step()
    assert [kind for kind, _ in await opened(engine)] == ["failing_delivery"]
    assert "(start)" in str(await engine.value("select detail from playlog.incident"))
    await executions.cancel(engine.appender, parent)
    await engine.connection.execute("delete from playlog.delivery")
    await role.step()
    assert await opened(engine) == []
    assert await history(engine, IncidentKind.FAILING_DELIVERY) == (1, 1)


async def test_an_execution_that_cannot_be_decided_is_refused_alone_and_moves_once_it_can(
    engine: Engine, due: DueRole, role: IncidentRole
) -> None:
    await engine.register(SOON)
    ids = [await engine.start("t/soon") for _ in range(5)]
    with undecided(ids[1]):
        await due.step()
        await role.step()
        assert await opened(engine) == [("undecidable", str(ids[1]))]
        await engine.connection.execute("update playlog.timer set due_at = due_at - interval '1 min'")
        await due.step()
    query = "select execution_id from playlog.execution where ended_at is null"
    assert [row[0] for row in await engine.connection.fetch(query)] == [ids[1]]
    [found] = await incidents(engine.connection, ids[1])
    registered = await engine.value("select definition_hash from playlog.definition")
    assert isinstance(registered, bytes)
    assert registered.hex() in found.detail
    assert found.seen_at > found.opened_at
    await engine.connection.execute("update playlog.timer set due_at = due_at - interval '1 min'")
    await due.step()
    await role.step()
    assert await opened(engine) == []
    assert await history(engine, IncidentKind.UNDECIDABLE) == (1, 1)


async def test_a_result_that_cannot_be_decided_is_rejected_and_the_others_are_settled(engine: Engine) -> None:
    await engine.register(GPU)
    ids = [await engine.start("t/gpu") for _ in range(3)]
    claimed = await engine.claim(3, pool="gpu")
    with undecided(ids[1]):
        settled = await engine.settle(*map(result_of, claimed))
    answers = zip(claimed, settled.verdicts, strict=True)
    assert {command.execution_id: verdict.code for command, verdict in answers} == {
        ids[0]: "",
        ids[1]: "undecidable",
        ids[2]: "",
    }


async def test_a_definition_that_cannot_be_compiled_stops_all_but_the_end(
    engine: Engine, due: DueRole, role: IncidentRole
) -> None:
    await engine.register(SOON)
    broken = await engine.start("t/soon")
    await engine.connection.execute("alter table playlog.definition disable trigger definition_append_only")
    await engine.connection.execute("update playlog.definition set canonical = '{\"steps\": 1}'")
    for writer in engine.appender._writers:
        writer.context = type(writer.context)()
    await due.step()
    assert await opened(engine) == [("undecidable", str(broken))]
    standing = await executions.cancel(engine.appender, broken)
    assert standing.status == "cancelled"
    await role.step()
    assert await opened(engine) == []
