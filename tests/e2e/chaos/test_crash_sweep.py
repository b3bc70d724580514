"""P1-P8: a process breaks its connection or dies at any call to PostgreSQL or NATS; one story remains.

Each point is a kind of work, a call of it, before or after the server has done it, and a broken connection
or a dead process. CHAOS=long takes all four points of a call; else two are dealt out by a seed, and one where
the work makes many calls.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from tests.support.acts import Kind
from tests.support.checker import inspect
from tests.support.crash_kinds import KINDS
from tests.support.mortal import follow_plans
from tests.support.town import Town, running_town

MOST_CALLS = 80
LONG = os.environ.get("CHAOS") == "long"
LEAST_POINTS = 300
MANY_CALLS = 15


@pytest.fixture(autouse=True)
def plans_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    follow_plans(monkeypatch)


@pytest.mark.parametrize("name", KINDS)
async def test_whatever_call_breaks_the_log_tells_one_story(
    name: str, database_url: str, nats_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_town(database_url, nats_url) as town:
        fired = await strike_every_call(town, name, KINDS[name])
        town.case = "afterwards"
        await town.start("town/main")
        await town.finish()
        await town.publish()
        await town.project()
        log, found = await inspect(town.connection, nats_url, town.ledger, faults=fired.total())
        cases = {town.cases.get(each.execution_id or 0, "") for each in found}
        assert found == [], cases
    with capsys.disabled():
        print(  # noqa: T201  # how much was struck belongs to the proof
            f"\n{name}: {fired.total()} points fired, {fired['death']} of them deaths,"
            f" {town.ledger.acknowledged} answers, {log.size} events"
        )
    assert fired.total() >= least_points(KINDS[name])


def test_a_sample_has_three_hundred_points() -> None:
    assert sum(map(least_points, KINDS.values())) >= LEAST_POINTS


def least_points(kind: Kind) -> int:
    return points_a_call(kind) * kind.calls


def points_a_call(kind: Kind) -> int:
    if LONG:
        return 4
    return 1 if kind.calls >= MANY_CALLS else 2


async def strike_every_call(town: Town, name: str, kind: Kind) -> Counter[str]:
    """One point after the other until the work has no more calls; how often each way of breaking fired."""
    fired: Counter[str] = Counter()
    for at in range(1, MOST_CALLS):
        before = fired.total()
        for after, deadly in ways(name, at)[: points_a_call(kind)]:
            if await strike(town, kind, f"{name}, call {at}, {after=}, {deadly=}", (at, after, deadly)):
                fired["death" if deadly else "break"] += 1
        if fired.total() == before:
            return fired
    raise AssertionError("it never ends")


def ways(name: str, at: int) -> list[tuple[bool, bool]]:
    """(after, deadly) of all points at a call; the first two differ in both."""
    chance = random.Random(f"{name} {at}")
    after, deadly = chance.random() < 0.5, chance.random() < 0.5
    return [(after, deadly), (not after, not deadly), (after, not deadly), (not after, deadly)]


async def strike(town: Town, kind: Kind, case: str, how: tuple[int, bool, bool]) -> bool:
    """Fresh work, struck at a call; then its caller, and everybody else, goes on until all is done."""
    town.case = case
    act = await kind.ready(town)
    at, after, deadly = how
    plan = act.life.plan
    plan.arm(at, after=after, deadly=deadly)
    try:
        await act.complete(town)
        plan.disarm()
        await town.finish()
    except BaseException as error:
        error.add_note(f"{case}: {plan.struck if plan.fired else 'not struck'}")
        raise
    return plan.fired
