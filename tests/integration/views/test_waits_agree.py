"""The view of what is waited for says the same as the function that every other reader asks."""

from __future__ import annotations

from dataclasses import asdict
from random import Random
from time import time_ns
from typing import TYPE_CHECKING

import orjson

from engine.domain.execution import initial
from engine.domain.snapshot import load
from engine.domain.waiting import Wait, What, waits_for
from engine.read.snapshots import columns_of
from tests.support.random_playbooks import family
from tests.support.random_world import RandomWorld

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.domain.admit import Admission
    from engine.domain.events import NewEvent
    from tests.support.servers import Connection

WORLDS = 30
MOST_WORLDS = 1_000
EVERY = 4
KINDS = {"claim", "result", "retry", "child", "signal", "moment", "resume", "undoing", "items", "held"}
INSERT = """
insert into playlog.snapshot (execution_id, version, fold_version, hash, status, path, playbook_version,
    definition_hash, parent_id, labels, started_at, ended_at, recorded_at, output_version, error_version,
    state)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""
SELECT = """
select execution_id, what, owner, since, until, step, item, undoing, attempt, not_before,
    items_total, items_completed, items_failed, items_open, items_left
from playlog.v_wait
"""
ITEMS = ("total", "completed", "failed", "open", "left")


class Watched(RandomWorld):
    """Keeps snapshots of its executions as they go on."""

    def __init__(self, rng: Random) -> None:
        super().__init__(rng, family(rng))
        self.seen: list[dict[str, object]] = []

    def _send(self, execution_id: int, sent: NewEvent) -> Admission:
        admission = super()._send(execution_id, sent)
        if execution_id in self.streams and self.rng.random() < 1 / EVERY:
            self.seen.append(columns_of(self.streams[execution_id].state))
        return admission


def worded(wait: Wait) -> tuple[object, ...]:
    """A wait as the view words it."""
    items = dict.fromkeys(ITEMS) if wait.items is None else asdict(wait.items)
    return (
        *(wait.what.value, wait.owner, wait.since, wait.until, wait.step, wait.item, wait.undoing),
        *(wait.attempt, wait.not_before),
        *(items[name] for name in ITEMS),
    )


def kinds_of(wait: Wait) -> set[str]:
    marks = {
        "undoing": wait.undoing,
        "items": wait.items is not None,
        "held": wait.what is What.CLAIM and wait.owner == "operator",
    }
    return {wait.what.value, *(name for name, holds in marks.items() if holds)}


def some_snapshots() -> Iterator[tuple[int, dict[str, object], list[Wait]]]:
    """Snapshots with the seed of their world and what they wait for, until every kind of wait was seen."""
    missing = set(KINDS)
    first = time_ns() // 10**6 % 10**9 * 1000
    for tried in range(MOST_WORLDS):
        if tried >= WORLDS and not missing:
            return
        world = Watched(Random(first + tried))
        world.run()
        for row in world.seen:
            waits = waits_for(load(orjson.loads(str(row["state"]))))
            missing.difference_update(*map(kinds_of, waits))
            yield first + tried, row, waits
    raise AssertionError(f"no random execution ever waited like this: {missing}")


async def test_the_view_agrees_on_random_executions_at_any_moment(connection: Connection) -> None:
    snapshots = list(some_snapshots())
    rows = [[number, *list(row.values())[1:]] for number, (_, row, _) in enumerate(snapshots)]
    await connection.executemany(INSERT, rows)
    found: dict[int, list[tuple[object, ...]]] = {number: [] for number in range(len(rows))}
    for row in await connection.fetch(SELECT):
        found[row["execution_id"]].append(tuple(row)[1:])
    for number, (seed, snapshot, waits) in enumerate(snapshots):
        told = sorted(map(worded, waits), key=repr)
        assert sorted(found[number], key=repr) == told, (seed, snapshot["state"])


async def test_a_foreign_execution_waits_for_its_own_system(connection: Connection) -> None:
    state = initial(7, None)
    state.version, state.recorded_at = 1, await connection.fetchval("select clock_timestamp()")
    await connection.execute(INSERT, *columns_of(state).values())
    rows = await connection.fetch("select what, owner, since from playlog.v_wait")
    assert [tuple(row) for row in rows] == [("event", "outside", state.recorded_at)]
