"""P1-P3: the server refuses, cancels and terminates appends under load; callers repeat, one story remains."""

from __future__ import annotations

import asyncio
import os
from functools import partial

import pytest

from engine.write.executions import StartOrder
from tests.support.checker import check
from tests.support.injecting import STRIKES, TERMINATED, Fault, Injector, raising
from tests.support.mortal import Life, follow_plans, office
from tests.support.servers import connected
from tests.support.town import Town, running_town

FAULTS: list[Fault] = [
    raising("40P01"),
    raising("40001"),
    raising("55P03"),
    raising("57014"),
    raising("53100"),
    raising(TERMINATED),
    Injector.locked_out,
]
ROUNDS = 45 if os.environ.get("CHAOS") == "long" else 3
CALLERS = 6
STATEMENT_SECONDS = 0.5


@pytest.fixture(autouse=True)
def plans_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    follow_plans(monkeypatch)


async def test_appends_that_the_server_strikes_down_are_repeated_and_recorded_once(
    database_url: str, nats_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_town(database_url, nats_url) as town, connected(database_url) as other:
        await other.execute(STRIKES)
        await town.office.end()
        town.office = Life(partial(office, database_url, writers=2, command_timeout=STATEMENT_SECONDS))
        await town.office.begin()
        try:
            injector = Injector(other)
            await under_load(town, injector)
            await town.finish()
            await town.publish()
            await town.project()
            log = await check(town.connection, nats_url, town.ledger, faults=injector.fired)
        finally:
            await town.office.end()
    assert injector.fired == ROUNDS * len(FAULTS)
    with capsys.disabled():
        print(  # noqa: T201  # how much was struck belongs to the proof
            f"\ninjected: {injector.fired} faults fired, {town.ledger.acknowledged} answers,"
            f" {log.size} events"
        )


async def under_load(town: Town, injector: Injector) -> None:
    """Callers that start and record without a pause, until every fault has fired."""
    over = asyncio.Event()
    callers = [asyncio.create_task(caller(town, over)) for _ in range(CALLERS)]
    try:
        for _ in range(ROUNDS):
            for fault in FAULTS:
                await fault(injector)
    finally:
        over.set()
        await asyncio.gather(*callers)


async def caller(town: Town, over: asyncio.Event) -> None:
    """Each request again and again with the same key and the same ids, until it is answered."""
    while not over.is_set():
        number = next(town.numbers)
        order = StartOrder(playbook="town/parent", inputs={"n": number}, key=f"number-{number}")
        rows = town.foreign_rows(executions=2, events=2)
        for _ in range(2):
            await town.office.insist(partial(town.order, order=order))
            await town.office.insist(partial(town.record, rows=rows))
