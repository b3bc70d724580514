"""Advancing and rebuilding from the log; poison, newer builds and what the database refuses."""

from __future__ import annotations

import pytest

from engine.domain.snapshot import FOLD_VERSION
from engine.read.cache import StateCache
from engine.read.projection import advance, project, rebuild
from tests.support.engine import Engine
from tests.support.projecting import (
    FOREIGN,
    append_foreign,
    assert_snapshots_are_true,
    foreign,
    heads,
    messages,
    play_some,
    projected,
)

INCIDENTS = "select kind, execution_id, subject, detail, resolved_at is null as open from playlog.incident"


async def test_advance_brings_snapshots_up_to_the_logs_end(engine: Engine) -> None:
    ids = await play_some(engine)
    first = await advance(engine.connection, [*ids, *ids, 17])
    assert first.versions == await heads(engine.connection) == first.events
    assert (first.written, first.unknown, first.failed) == (set(ids), {17}, {})
    again = await advance(engine.connection, ids)
    assert (again.versions, again.written, set(again.events.values())) == (first.versions, set(), {0})
    await assert_snapshots_are_true(engine.connection)


async def test_advance_goes_on_from_a_snapshot_that_is_behind(engine: Engine) -> None:
    await append_foreign(engine.connection, FOREIGN, foreign("node.done", 1, step="a"))
    await advance(engine.connection, [FOREIGN])
    await append_foreign(
        engine.connection, FOREIGN, foreign("node.done", 2, step="b"), foreign("node.done", 3, step="c")
    )
    result = await advance(engine.connection, [FOREIGN])
    assert (result.events, result.versions) == ({FOREIGN: 2}, {FOREIGN: 3})
    await assert_snapshots_are_true(engine.connection)


async def test_a_long_log_is_folded_in_pages(engine: Engine) -> None:
    for start in range(0, 4500, 1500):
        events = [foreign("node.done", start + n + 1, step=f"s{n % 5}") for n in range(1500)]
        await append_foreign(engine.connection, FOREIGN, *events)
    others = await play_some(engine)
    result = await advance(engine.connection, [*others, FOREIGN])
    assert result.events[FOREIGN] == 4500
    assert result.versions == await heads(engine.connection)
    await assert_snapshots_are_true(engine.connection)


async def test_an_execution_that_cannot_be_folded_is_an_incident_and_the_others_go_on(engine: Engine) -> None:
    complete, failed, waiting = await play_some(engine)
    await damage(
        engine, "update playlog.event set version = 99 where execution_id = $1 and version = 5", failed
    )
    told = await messages(engine.connection)
    told = [each for each in told if (each.execution_id, each.first_version) != (failed, 1)]
    result = await project(engine.connection, told, StateCache())
    assert set(result.failed) == {failed}
    assert set(await projected(engine.connection)) == {complete, waiting}
    await advance(engine.connection, [failed])
    incidents = [dict(row) for row in await engine.connection.fetch(INCIDENTS)]
    assert incidents == [
        {
            "kind": "poison_execution",
            "execution_id": failed,
            "subject": str(failed),
            "detail": result.failed[failed],
            "open": True,
        }
    ]
    assert "expected version 5" in result.failed[failed]
    await damage(
        engine, "update playlog.event set version = 5 where execution_id = $1 and version = 99", failed
    )
    assert (await advance(engine.connection, [failed])).failed == {}
    assert [row["open"] for row in await engine.connection.fetch(INCIDENTS)] == [False]


RETYPED = "update playlog.event set event_type = 'command.released'"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (f"{RETYPED} where execution_id = $1 and version = 2", "Newer"),
        ("update playlog.event set payload = '[]' where execution_id = $1 and version = 1", "KeyError"),
        ("delete from playlog.event where execution_id = $1 and version > 5", "the log ends at version 5"),
    ],
)
async def test_each_kind_of_poison_has_its_reason(engine: Engine, statement: str, reason: str) -> None:
    ids = await play_some(engine)
    await damage(engine, statement, ids[0])
    result = await advance(engine.connection, ids)
    assert reason in result.failed[ids[0]]
    assert set(result.versions) == set(ids[1:])


async def test_what_the_database_refuses_does_not_stop_the_others(engine: Engine) -> None:
    ids = await play_some(engine)
    labelled = await engine.start("tests/two", labels={"a": "b"})
    await damage(
        engine,
        """update playlog.event set payload = replace(payload::text, '"b"', '"\\u0000"')::json
        where execution_id = $1 and version = 1""",
        labelled,
    )
    result = await advance(engine.connection, [*ids, labelled])
    assert set(result.failed) == {labelled}
    assert "cannot be stored" in result.failed[labelled]
    assert set(result.versions) == set(ids)


async def test_snapshots_of_a_newer_fold_are_left_alone(engine: Engine) -> None:
    ids = await play_some(engine)
    await advance(engine.connection, ids[:1])
    raised = "update playlog.snapshot set fold_version = $1, version = 3"
    await engine.connection.execute(raised, FOLD_VERSION + 1)
    for result in (
        await advance(engine.connection, ids),
        await project(engine.connection, await messages(engine.connection), StateCache()),
        await rebuild(engine.connection, ids),
    ):
        assert result.superseded == {ids[0]}
        assert ids[0] not in result.versions
    assert (await projected(engine.connection))[ids[0]] == 3


async def test_snapshots_of_an_older_fold_are_made_anew(engine: Engine) -> None:
    ids = await play_some(engine)
    await advance(engine.connection, ids)
    await engine.connection.execute("update playlog.snapshot set fold_version = 0, state = '{}'")
    result = await advance(engine.connection, ids)
    assert result.written == set(ids)
    await assert_snapshots_are_true(engine.connection)


async def test_rebuild_mends_what_drifted(engine: Engine) -> None:
    ids = await play_some(engine)
    await advance(engine.connection, ids)
    await engine.connection.execute("update playlog.snapshot set state = '{}', status = 'paused'")
    await engine.connection.execute(
        "update playlog.snapshot set version = 99 where execution_id = $1", ids[0]
    )
    assert (await advance(engine.connection, ids[1:])).written == set()
    assert (await rebuild(engine.connection, ids)).written == set(ids)
    await assert_snapshots_are_true(engine.connection)
    assert await projected(engine.connection) == await heads(engine.connection)


async def damage(engine: Engine, statement: str, execution_id: int) -> None:
    """What only the owner of the tables can do, with the guard of the log switched off."""
    await engine.connection.execute("alter table playlog.event disable trigger event_append_only")
    await engine.connection.execute(statement, execution_id)
    await engine.connection.execute("alter table playlog.event enable trigger event_append_only")
