"""Starting is idempotent by key; inputs, versions and pauses are checked first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import asyncpg
import pytest

from engine.errors import Conflict, Invalid, NotFound
from engine.runtime.database import checkout
from engine.write import catalog, executions
from tests.support.engine import Engine

ONE = "{playbook: t/one, inputs: {n: {type: integer, default: 1}}, steps: [{name: a, tool: noop}]}"


async def start(engine: Engine, **order: object) -> executions.Standing:
    asked = executions.StartOrder(playbook="t/one", **order)  # type: ignore[arg-type]
    return await engine.order(asked)


async def test_the_same_key_answers_the_first_execution(engine: Engine) -> None:
    await engine.register(ONE)
    first = await start(engine, key="order-1", inputs={"n": 2})
    again = await start(engine, key="order-1", inputs={"n": 2})
    assert (first.created, again.created) == (True, False)
    assert (again.execution_id, again.version) == (first.execution_id, first.version)
    assert await engine.value("select count(*) from playlog.execution") == 1


async def test_the_same_key_with_another_order_is_a_conflict(engine: Engine) -> None:
    await engine.register(ONE)
    await start(engine, key="order-1", inputs={"n": 2})
    with pytest.raises(Conflict, match="key"):
        await start(engine, key="order-1", inputs={"n": 3})
    await start(engine, idempotency_key="a")
    with pytest.raises(Invalid, match="Idempotency-Key"):
        await start(engine, idempotency_key="a", inputs={"n": 3})


async def test_a_key_claimed_beside_a_known_one_is_given_back(engine: Engine) -> None:
    await engine.register(ONE)
    first = await start(engine, key="order-1")
    again = await start(engine, key="order-1", idempotency_key="new")
    assert again.execution_id == first.execution_id
    fresh = await start(engine, idempotency_key="new")
    assert fresh.created


async def test_fifty_concurrent_starts_with_one_key_make_one_execution(
    engine: Engine, pool: asyncpg.Pool
) -> None:
    await engine.register(ONE)

    async def one() -> executions.Standing:
        order = executions.StartOrder(playbook="t/one", key="same")
        borrow = partial(checkout, pool)
        return await executions.start(borrow, engine.appender, engine.definitions, order)

    standings = await asyncio.gather(*(one() for _ in range(50)))
    assert len({standing.execution_id for standing in standings}) == 1
    assert sum(standing.created for standing in standings) == 1


async def test_unknown_paused_and_badly_fed_playbooks_are_refused(engine: Engine) -> None:
    with pytest.raises(NotFound):
        await start(engine)
    await engine.register(ONE)
    with pytest.raises(NotFound):
        await start(engine, version=9)
    with pytest.raises(Invalid):
        await start(engine, inputs={"n": "many"})
    await catalog.pause(engine.connection, "t/one", paused=True)
    with pytest.raises(Conflict):
        await start(engine)
    assert await engine.value("select count(*) from playlog.event") == 0


async def test_registering_the_same_content_is_a_no_op_and_new_content_a_version(engine: Engine) -> None:
    first = await engine.register(ONE)
    again = await engine.register("# formatted anew\n" + ONE)
    assert (first.version, first.created, again.version, again.created) == (1, True, 1, False)
    other = await engine.register(ONE.replace("default: 1", "default: 2"))
    assert (other.version, other.created) == (2, True)


async def test_the_first_answer_stands_although_the_playbook_was_paused_or_changed_since(
    engine: Engine,
) -> None:
    await engine.register(ONE)
    first = await start(engine, key="order-1", inputs={"n": 2})
    await engine.register(ONE.replace("n:", "m:"))
    await catalog.pause(engine.connection, "t/one", paused=True)
    assert (await start(engine, key="order-1", inputs={"n": 2})).execution_id == first.execution_id


async def test_an_execution_has_the_labels_of_its_playbook_unless_it_is_given_others(engine: Engine) -> None:
    await engine.register(ONE.replace("steps:", "labels: {team: a, tier: gold}, steps:"))
    started = await start(engine, labels={"team": "b"}, key="one")
    assert (await engine.state(started.execution_id)).labels == {"team": "b", "tier": "gold"}
    assert await start(engine, labels={"team": "b"}, key="one") == replace(started, created=False)
