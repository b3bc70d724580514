"""Verify proves snapshots, and finds one flipped bit in a snapshot or in the log."""

from __future__ import annotations

import pytest

from engine.read.projection import advance
from engine.read.verify import Drift, first_difference, sample, verify
from tests.support.engine import Engine
from tests.support.projecting import play_some


@pytest.fixture
async def ids(engine: Engine) -> list[int]:
    ids = await play_some(engine)
    await advance(engine.connection, ids)
    return ids


async def test_true_snapshots_are_verified(engine: Engine, ids: list[int]) -> None:
    found = await verify(engine.connection, [*ids, *ids])
    assert (found.verified, found.drifted, found.failed) == (sorted(ids), [], {})


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ("state = replace(state::text, '\"attempt\":1', '\"attempt\":2')::json", "state.steps.first.attempt"),
        ("state = '{}'", "state.deadline"),
        ("hash = set_byte(hash, 0, get_byte(hash, 0) # 1)", "hash"),
        ("status = 'running'", "status"),
        ('labels = \'{"a": "b"}\'', "labels"),
        ("output_version = 1", "output_version"),
        ("version = 7", "state.ended_at"),
    ],
)
async def test_a_flipped_bit_in_a_snapshot_is_named(
    engine: Engine, ids: list[int], change: str, path: str
) -> None:
    await engine.connection.execute(f"update playlog.snapshot set {change} where execution_id = $1", ids[0])
    found = await verify(engine.connection, ids)
    assert found.verified == sorted(ids[1:])
    [drift] = found.drifted
    assert drift.execution_id == ids[0]
    assert (drift.execution_id, drift.path) == (ids[0], path)
    assert (drift.stored != drift.fresh) == (path == "hash" or path.startswith("state"))


async def test_a_flipped_bit_in_an_event_is_named(engine: Engine, ids: list[int]) -> None:
    await engine.connection.execute("alter table playlog.event disable trigger event_append_only")
    await engine.connection.execute(
        "update playlog.event set payload = replace(payload::text, 'first', 'fjrst')::json "
        "where execution_id = $1 and event_type = 'command.completed' and step = 'first'",
        ids[0],
    )
    found = await verify(engine.connection, ids)
    assert found.verified == sorted(ids[1:])
    [drift] = found.drifted
    assert (drift.execution_id, drift.path) == (ids[0], "event 3")
    assert drift.stored != drift.fresh
    assert isinstance(drift, Drift)


async def test_what_cannot_be_checked_is_said(engine: Engine, ids: list[int]) -> None:
    await engine.connection.execute("delete from playlog.snapshot where execution_id = $1", ids[0])
    await engine.connection.execute(
        "update playlog.snapshot set fold_version = 0 where execution_id = $1", ids[1]
    )
    await engine.connection.execute(
        "update playlog.snapshot set version = 99 where execution_id = $1", ids[2]
    )
    found = await verify(engine.connection, ids)
    assert found.failed == {
        ids[0]: "not_projected",
        ids[1]: "fold_version 0 is not 1",
        ids[2]: "the log ends at version 2 of 99",
    }


async def test_a_sample_holds_projected_executions(engine: Engine, ids: list[int]) -> None:
    found = await sample(engine.connection, 100)
    assert set(found) <= set(ids)
    assert 1 <= len(found) == len(set(found))
    assert len(await sample(engine.connection, 1)) == 1
    await engine.connection.execute("delete from playlog.snapshot")
    assert await sample(engine.connection, 5) == []


@pytest.mark.parametrize(
    ("left", "right", "path"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b"),
        ({"a": 1, "b": 2}, {"a": 1}, "b"),
        ({"a": [1]}, {"a": [2]}, "a"),
        (1, {"a": 2}, ""),
    ],
)
def test_the_first_difference_has_a_path(left: object, right: object, path: str | None) -> None:
    assert first_difference(left, right) == path
