"""The sweep finds what the stream never told."""

from __future__ import annotations

from engine.read import playbooks, stats, sweep
from engine.read.projection import advance
from tests.support.engine import Engine
from tests.support.projecting import FOREIGN, append_foreign, foreign, play_some


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
    pages = [await sweep.sweep_live(connection, limit=2, settled_seconds=0) for _ in range(4)]
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
    first = await sweep.sweep_ended(connection, limit=1)
    second = await sweep.sweep_ended(connection, limit=1)
    third = await sweep.sweep_ended(connection, limit=1)
    assert {*first.execution_ids, *second.execution_ids} == {complete, failed}
    assert (third.execution_ids, first.more, third.more) == ([], True, False)
    await advance(connection, [complete])
    assert (await sweep.sweep_ended(connection)).execution_ids == [failed]
    # What ended more than a minute before the last pass is settled.
    await connection.execute("update playlog.execution set ended_at = ended_at - interval '2 minutes'")
    assert (await sweep.sweep_ended(connection)).execution_ids == []


async def test_a_pass_that_another_process_is_at_is_left_to_it(engine: Engine) -> None:
    await append_foreign(engine.connection, FOREIGN, foreign("node.started", 1))
    await engine.connection.execute("begin")
    await engine.connection.execute("select * from playlog.background_pass for update")
    rival = await engine.appender._writers[0].connect()
    try:
        for passing in (sweep.sweep_live, sweep.sweep_ended, sweep.refold):
            assert await passing(rival) == sweep.Swept()
    finally:
        await rival.close()
        await engine.connection.execute("rollback")


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
