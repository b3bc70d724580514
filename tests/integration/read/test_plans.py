"""The statements that run all the time, or over many rows, go through their indexes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sql import queries
from tests.support.servers import Connection

FILL = """
with heads as (
    insert into playlog.execution (execution_id, version, recorded_at, status, ended_at)
    select n, 3, moment, 'completed', case when n % 100 > 0 then moment end
    from generate_series(1, 20000) n, lateral (select now() - make_interval(secs => n) as moment) m
)
insert into playlog.snapshot (execution_id, version, fold_version, hash, status, path, started_at,
    recorded_at, state)
select n, 3, 1, decode(md5(n::text), 'hex'), case when n % 500 = 0 then 'failed' else 'completed' end,
    'a/' || n % 1000, now(), now(), '{}'
from generate_series(1, 20000) n
"""
ANYTHING = (0, 2**62, 21, None, None, None, None, None, None)


@pytest.fixture
async def filled(connection: Connection) -> Connection:
    await connection.execute(FILL)
    await connection.execute("analyze playlog.execution, playlog.snapshot")
    return connection


@pytest.mark.parametrize(
    ("noun", "name", "arguments", "index"),
    [
        ("executions", "snapshot", (5,), "snapshot_pk"),
        ("executions", "page_down", ANYTHING, "snapshot_pk"),
        ("executions", "page_up", ANYTHING, "snapshot_pk"),
        ("executions", "page_down", (*ANYTHING[:3], "failed", *ANYTHING[4:]), "snapshot_status"),
        ("executions", "page_down", (*ANYTHING[:4], "a/7", *ANYTHING[5:]), "snapshot_path"),
        ("snapshots", "standings", ([5, 6, 7], 1), "snapshot_pk"),
        ("snapshots", "sample", (5,), "snapshot_pk"),
        ("sweep", "live", (0, 100, 5.0), "execution_live"),
        ("sweep", "refold", (0, 100, 1), "snapshot_pk"),
        ("sweep", "old_fold", (1,), "snapshot_fold"),
        ("sweep", "stalled", (0, 100, 5.0), "execution_live"),
        ("stats", "lag", (100,), "execution_live"),
        ("append", "probe", ([5, 6], [1, 2]), "execution_id_event_id_key"),
    ],
)
async def test_a_statement_uses_its_index(
    filled: Connection, noun: str, name: str, arguments: tuple[Any, ...], index: str
) -> None:
    rows = await filled.fetch(f"explain {getattr(queries.load(noun), name)}", *arguments)
    plan = "\n".join(row[0] for row in rows)
    assert index in plan, plan
    assert not re.search(r"Seq Scan on (snapshot|execution|event)", plan), plan


async def test_the_ended_sweep_reads_only_what_ended_since(filled: Connection) -> None:
    since = await filled.fetchval("select now() - interval '60 seconds'")
    rows = await filled.fetch(f"explain {queries.load('sweep').ended}", since, 0, 1000)
    plan = "\n".join(row[0] for row in rows)
    assert "execution_quiet" in plan, plan
    assert "Index Cond: (quiet_since" in plan or "Index Cond: (ROW(quiet_since" in plan, plan


IN_LINE = """
insert into playlog.command (command_id, execution_id, step, attempt, tool, pool, priority, state, input,
    timeout_seconds, available_at, concurrency_key, concurrency_limit, permitted)
select n, n, 'a', 1, 'noop', 'default', n % 3, case when n <= 20000 then 'held' else 'pending' end, '{}', 60,
    now(), case when n <= 20002 then 'busy' else 'key ' || n % 1000 end, 2, n > 20000
from generate_series(1, 40000) n
"""


@pytest.mark.parametrize("analyzed", [False, True], ids=["unknown to the planner", "analyzed"])
@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_a_long_line_is_served_from_its_front(
    connection: Connection, mode: str, analyzed: object
) -> None:
    await connection.execute(IN_LINE)
    if analyzed:
        await connection.execute("analyze playlog.command")
    await connection.execute(f"set plan_cache_mode = {mode}")
    await connection.execute(f"prepare lines as {queries.load('permits').lines}")
    asked = "'{busy,key 7}', '{1,0}', '{20001}', '{}', '{}'"
    rows = await connection.fetch(f"explain (analyze, format json) execute lines ({asked})")
    found = list(nodes(json.loads(rows[0][0])[0]["Plan"]))
    scans = [node["Index Name"] for node in found if node["Node Type"] == "Index Scan"]
    assert scans.count("command_in_line") == 2, found
    assert "command_permitted" in {node.get("Index Name") for node in found}
    assert max(node["Actual Rows"] for node in found) < 50, found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


OPEN_INCIDENTS = "incident_(open|execution)"
PILE_UP = """
with commands as (
    insert into playlog.command (command_id, execution_id, step, attempt, tool, pool, priority, input,
        timeout_seconds, available_at, state)
    select n, n, 's', 1, 'noop', 'pool' || n % 7, n % 5, '{}', 60, now() + make_interval(secs => n - 1000),
        case when n % 3 > 0 then 'pending' else 'closed' end
    from generate_series(1, 20000) n
), workers as (
    insert into playlog.runtime (runtime_id, kind, pool, seen_at)
    select 'w' || n, 'worker', 'pool' || n % 7, now() - make_interval(secs => n)
    from generate_series(1, 5000) n
), deliveries as (
    insert into playlog.delivery (target_execution_id, kind, event_id, payload, attempts)
    select n, 'start', n, '{}', case when n % 1000 = 0 then 6 else 0 end from generate_series(1, 20000) n
)
insert into playlog.incident (kind, execution_id, subject, detail, resolved_at)
select case when n % 2 = 0 then 'stalled' else 'failing_delivery' end, n, n::text, '',
    case when n % 100 > 0 then now() end
from generate_series(1, 20000) n
"""


LOOKS = [
    ("unserved", (60.0, 60.0), ["command_claimable", "runtime_pool"]),
    ("failing_deliveries", (1000,), ["delivery_failing"]),
    ("resolve_others", ("pool_without_workers", ["a"]), [OPEN_INCIDENTS]),
    ("resolve_delivered", ("failing_delivery",), [OPEN_INCIDENTS, "delivery_pk"]),
    ("resolve_moved", (["stalled"],), [OPEN_INCIDENTS, "execution_(pk|live)"]),
    ("open_counts", (), [OPEN_INCIDENTS]),
    ("native_head", (5,), ["execution_pk"]),
]


async def plan_of(connection: Connection, statement: str, *arguments: Any) -> str:
    return "\n".join(row[0] for row in await connection.fetch(f"explain {statement}", *arguments))


async def test_looking_for_what_nobody_moves_reads_little(filled: Connection) -> None:
    await filled.execute(PILE_UP)
    await filled.execute("analyze playlog.command, playlog.runtime, playlog.delivery, playlog.incident")
    for name, arguments, indexes in LOOKS:
        plan = await plan_of(filled, getattr(queries.load("liveness"), name), *arguments)
        assert all(re.search(index, plan) for index in indexes), plan
        assert not re.search(r"Seq Scan on (command|runtime|delivery|incident|execution)", plan), plan
    plan = await plan_of(filled, queries.load("incidents").hindering, 5, ["a"], 100)
    assert all(index in plan for index in ("incident_execution", "incident_open")), plan
    assert "Seq Scan on incident" not in plan, plan
