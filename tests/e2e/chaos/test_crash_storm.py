"""One crash upon the other, each leaving its remains to the next piece of work; only then all is finished."""

from __future__ import annotations

import os
import random

import pytest

from tests.support.checker import check
from tests.support.crash_kinds import KINDS
from tests.support.mortal import follow_plans
from tests.support.town import Town, running_town

SEEDS = range(40) if os.environ.get("CHAOS") == "long" else range(1)
PIECES = 40
MOST_CALLS = 12


@pytest.fixture(autouse=True)
def plans_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    follow_plans(monkeypatch)


@pytest.mark.parametrize("seed", SEEDS)
async def test_crash_upon_crash_leaves_one_story(
    seed: int, database_url: str, nats_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_town(database_url, nats_url) as town:
        fired = await storm(town, random.Random(seed))
        await town.finish()
        await town.publish()
        await town.project()
        log = await check(town.connection, nats_url, town.ledger, faults=fired)
    assert fired > PIECES / 4
    with capsys.disabled():
        print(  # noqa: T201  # how much was struck belongs to the proof
            f"\nstorm {seed}: {fired} points fired, {town.ledger.acknowledged} answers, {log.size} events"
        )


async def storm(town: Town, chance: random.Random) -> int:
    """Pieces of work of any kind, one after the other, each struck at any call; how often it was."""
    fired = 0
    for _ in range(PIECES):
        name = chance.choice(list(KINDS))
        act = await KINDS[name].ready(town)
        plan = act.life.plan
        plan.arm(chance.randint(1, MOST_CALLS), after=chance.random() < 0.5, deadly=chance.random() < 0.5)
        try:
            await act.complete(town)
        except BaseException as error:
            error.add_note(f"{name}, call {plan.at}, {plan.after=}, {plan.deadly=}, {plan.struck}")
            raise
        plan.disarm()
        fired += plan.fired
    return fired
