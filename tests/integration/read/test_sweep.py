"""The sweep finds what the stream never told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.read import playbooks, stats, sweep
from engine.read.projection import advance
from engine.write.executions import cancel
from tests.support.engine import Engine, result_of
from tests.support.projecting import FOREIGN, append_foreign, foreign, play_some

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncpg


async def one_page(
    engine: Engine, find: Callable[[asyncpg.Connection], Awaitable[sweep.Swept]]
) -> sweep.Swept:
    """A page that is kept as healed."""
    swept = await find(engine.connection)
    await sweep.keep(engine.connection, swept)
    return swept


async def test_live_heads_without_a_current_snapshot_are_found(engine: Engine) -> None:
    connection = engine.connection
    _, _, waiting = await play_some(engine)
    await append_foreign(connection, FOREIGN, foreign("node.started", 1))
    found = await sweep.sweep_live(connection, settled_seconds=0)
    assert (found.execution_ids, found.more) == ([FOREIGN, waiting], False)
    await advance(connection, found.execution_ids)
    assert (await sweep.sweep_live(connection, settled_seconds=0)).execution_ids == []
    await append_foreign(connection, FOREIGN, foreign("node.started", 2))
    assert (await sweep.sweep_live(connection)).execution_ids == []
    assert (await sweep.sweep_live(connection, settled_seconds=0)).execution_ids == [FOREIGN]


async def test_a_pass_goes_on_where_it_stopped(engine: Engine) -> None:
    connection = engine.connection
    for number in range(5):
        await append_foreign(connection, FOREIGN + number, foreign("node.started", 1))

    def two(connection: asyncpg.Connection) -> Awaitable[sweep.Swept]:
        return sweep.sweep_live(connection, limit=2, settled_seconds=0)

    pages = [await one_page(engine, two) for _ in range(4)]
    assert [page.execution_ids for page in pages] == [
        [FOREIGN, FOREIGN + 1],
        [FOREIGN + 2, FOREIGN + 3],
        [FOREIGN + 4],
        [FOREIGN, FOREIGN + 1],
    ]
    assert [page.more for page in pages] == [True, True, False, True]


async def test_ended_heads_are_found_once_the_pass_comes_by(engine: Engine) -> None:
    connection = engine.connection
    complete, failed, _ = await play_some(engine)

    def one(connection: asyncpg.Connection) -> Awaitable[sweep.Swept]:
        return sweep.sweep_ended(connection, limit=1)

    first, second, third = [await one_page(engine, one) for _ in range(3)]
    assert {*first.execution_ids, *second.execution_ids} == {complete, failed}
    assert (third.execution_ids, first.more, third.more) == ([], True, False)
    await advance(connection, [complete])
    assert (await sweep.sweep_ended(connection)).execution_ids == [failed]
    # What recorded its last event more than a minute before the last pass is settled.
    await connection.execute("update playlog.execution set recorded_at = recorded_at - interval '2 minutes'")
    assert (await sweep.sweep_ended(connection)).execution_ids == []


async def test_what_is_recorded_after_the_end_is_found(engine: Engine) -> None:
    connection = engine.connection
    await engine.register("{playbook: t/one, steps: [{name: a, tool: noop}]}")
    execution_id = await engine.start("t/one")
    (command,) = await engine.claim()
    await cancel(engine.appender, execution_id)
    await advance(connection, (await one_page(engine, sweep.sweep_ended)).execution_ids)
    # The pass has come a long way since the end.
    await connection.execute(
        "update playlog.background_pass set finished_at = now() where name = 'sweep_ended'"
    )
    await connection.execute(
        "update playlog.execution set ended_at = ended_at - interval '1 hour',"
        " recorded_at = recorded_at - interval '1 hour'"
    )
    assert (await sweep.sweep_ended(connection)).execution_ids == []
    await engine.settle(result_of(command, 1))
    assert (await engine.types(execution_id))[-1] == "command.late"
    assert (await sweep.sweep_ended(connection)).execution_ids == [execution_id]


async def test_updates_of_live_heads_stay_heap_only(engine: Engine) -> None:
    connection = engine.connection
    _, _, waiting = await play_some(engine)
    before = await updates(connection)
    for _ in range(10):
        await append_foreign(connection, FOREIGN, foreign("node.started", 1))
        await connection.execute(
            "update playlog.execution set version = version + 1, recorded_at = now() where execution_id = $1",
            waiting,
        )
    after = await updates(connection)
    assert after[0] - before[0] == after[1] - before[1] >= 10


async def updates(connection: asyncpg.Connection) -> tuple[int, int]:
    await connection.execute("select pg_stat_force_next_flush()")
    (row,) = await connection.fetch(
        "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'execution'"
    )
    return row[0], row[1]


async def test_a_page_that_was_not_healed_comes_again(engine: Engine) -> None:
    ids = await play_some(engine)
    await append_foreign(engine.connection, FOREIGN, foreign("node.started", 1))
    await advance(engine.connection, ids)
    await engine.connection.execute("update playlog.snapshot set fold_version = 0")
    await engine.connection.execute("update playlog.execution set version = version + 1")
    for find in (sweep.sweep_ended, sweep.refold):
        found = await find(engine.connection, limit=2)
        assert found.execution_ids
        assert await find(engine.connection, limit=2) == found
        await sweep.keep(engine.connection, found)
        assert await find(engine.connection, limit=2) != found


async def test_of_two_processes_at_the_same_page_one_moves_the_pass_on(engine: Engine) -> None:
    connection = engine.connection
    for number in range(4):
        await append_foreign(connection, FOREIGN + number, foreign("node.started", 1))
    slow = await sweep.sweep_live(connection, limit=1, settled_seconds=0)
    for _ in range(2):
        await sweep.keep(connection, await sweep.sweep_live(connection, limit=1, settled_seconds=0))
    await sweep.keep(connection, slow)
    found = await sweep.sweep_live(connection, limit=1, settled_seconds=0)
    assert found.execution_ids == [FOREIGN + 2]


async def test_snapshots_of_older_folds_are_found(engine: Engine) -> None:
    ids = await play_some(engine)
    await advance(engine.connection, ids)
    assert await sweep.refold(engine.connection) == sweep.Swept()
    await engine.connection.execute(
        "update playlog.snapshot set fold_version = 0 where execution_id = $1", ids[1]
    )
    found = await sweep.refold(engine.connection)
    assert found.execution_ids == [ids[1]]
    await advance(engine.connection, found.execution_ids)
    assert (await sweep.refold(engine.connection)).execution_ids == []


async def test_stats_count_by_status_and_tell_the_lag(engine: Engine) -> None:
    connection = engine.connection
    ids = await play_some(engine)
    await advance(connection, ids)
    moment = await connection.fetchval("select clock_timestamp() - interval '1 hour'")
    counts = await stats.counts(connection, moment)
    assert {status: count for status, count in counts.items() if count} == {
        "completed": 1,
        "failed": 1,
        "waiting": 1,
    }
    later = await connection.fetchval("select clock_timestamp() + interval '1 hour'")
    assert sum((await stats.counts(connection, later)).values()) == 1
    assert await stats.projection_lag(connection) == stats.Lag(1, 0, 0.0)
    await append_foreign(connection, FOREIGN, foreign("node.started", 1))
    lag = await stats.projection_lag(connection)
    assert (lag.looked_at, lag.behind) == (2, 1)
    assert 0 < lag.seconds < 60


async def test_playbooks_are_shown_listed_and_paged(engine: Engine) -> None:
    connection = engine.connection
    await play_some(engine)
    await engine.register(
        "playbook: tests/two\ndescription: Greets.\ntags: [a]\nsteps: [{name: s, tool: noop}]"
    )
    shown = await playbooks.get(connection, "tests/two")
    assert shown is not None
    assert (shown["version"], shown["latest_version"], shown["tags"], shown["paused"]) == (2, 2, ["a"], False)
    assert shown["definition"] == {
        "playbook": "tests/two",
        "description": "Greets.",
        "tags": ["a"],
        "steps": [{"name": "s", "tool": "noop"}],
    }
    old = await playbooks.get(connection, "tests/two", 1)
    assert old is not None
    assert (old["version"], old["latest_version"]) == (1, 2)
    assert await playbooks.get(connection, "tests/two", 3) is None
    assert await playbooks.get(connection, "tests/none") is None
    everything = await playbooks.list_playbooks(connection, playbooks.PlaybookFilters())
    assert [each["path"] for each in everything] == ["tests/two", "tests/waiting"]
    for filters, wanted in [
        (playbooks.PlaybookFilters(search="GREET"), ["tests/two"]),
        (playbooks.PlaybookFilters(tag="a"), ["tests/two"]),
        (playbooks.PlaybookFilters(owner="me"), []),
        (playbooks.PlaybookFilters(paused=False), ["tests/two", "tests/waiting"]),
    ]:
        page = await playbooks.list_playbooks(connection, filters)
        assert [each["path"] for each in page] == wanted
    rest = await playbooks.list_playbooks(connection, playbooks.PlaybookFilters(), after="tests/two")
    assert [each["path"] for each in rest] == ["tests/waiting"]
    assert [each["version"] for each in await playbooks.versions(connection, "tests/two")] == [2, 1]
    assert [each["version"] for each in await playbooks.versions(connection, "tests/two", below=2)] == [1]
