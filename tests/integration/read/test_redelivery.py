"""Whatever the stream does to messages, snapshots equal a fresh fold and never go backwards."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.read.cache import StateCache
from engine.read.projection import advance, project
from tests.support.engine import Engine
from tests.support.projecting import (
    FOREIGN,
    BreakingConnection,
    append_foreign,
    assert_snapshots_are_true,
    backwards,
    foreign,
    heads,
    messages,
    play_some,
    projected,
)


@pytest.fixture
async def played(engine: Engine) -> Engine:
    await play_some(engine)
    for number in range(4):
        await append_foreign(engine.connection, FOREIGN, foreign("node.done", number + 1, step=f"s{number}"))
    return engine


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_delivery_ends_in_the_same_snapshots(played: Engine, data: st.DataObject) -> None:
    connection = played.connection
    await connection.execute("delete from playlog.snapshot")
    told = await messages(connection)
    delivered = data.draw(st.lists(st.sampled_from(range(len(told))), max_size=3 * len(told)))
    caches = [StateCache(), StateCache(byte_limit=6_000)]
    seen: dict[int, int] = {}
    while delivered:
        size = data.draw(st.integers(1, 8))
        batch, delivered = delivered[:size], delivered[size:]
        cache = data.draw(st.sampled_from(caches))
        result = await project(connection, [told[index] for index in batch], cache)
        assert not result.failed
        now = await projected(connection)
        assert backwards(seen, now) == {}
        assert all(now[told[index].execution_id] >= told[index].last_version for index in batch)
        seen = now
    await assert_snapshots_are_true(connection)
    await advance(connection, await heads(connection))
    assert await projected(connection) == await heads(connection)
    await assert_snapshots_are_true(connection)


async def test_messages_in_order_need_no_look_at_the_log(played: Engine) -> None:
    connection, cache = played.connection, StateCache()
    for message in await messages(connection):
        result = await project(connection, [message], cache)
        assert (result.from_log, result.gaps) == (set(), 0)
        assert result.events == {message.execution_id: len(message.events)}
        assert result.versions == {message.execution_id: message.last_version}
    assert await projected(connection) == await heads(connection)
    await assert_snapshots_are_true(connection)


async def test_a_repeated_message_changes_nothing(played: Engine) -> None:
    connection, cache = played.connection, StateCache()
    told = await messages(connection)
    await project(connection, told, cache)
    before = await connection.fetch("select * from playlog.snapshot order by execution_id")
    again = await project(connection, told, cache)
    afresh = await project(connection, told, StateCache())
    assert (again.written, afresh.written) == (set(), set())
    assert await connection.fetch("select * from playlog.snapshot order by execution_id") == before


async def test_a_gap_is_filled_from_the_log(played: Engine) -> None:
    connection, cache = played.connection, StateCache()
    told = [message for message in await messages(connection) if message.execution_id == FOREIGN]
    await project(connection, told[:1], cache)
    result = await project(connection, told[2:3], cache)
    assert (result.gaps, result.from_log, result.versions) == (1, {FOREIGN}, {FOREIGN: 4})
    assert (await project(connection, told[3:], cache)).events == {}


async def test_a_message_of_a_purged_execution_brings_nothing_back(played: Engine) -> None:
    connection = played.connection
    told = [message for message in await messages(connection) if message.execution_id == FOREIGN]
    await connection.execute("delete from playlog.execution where execution_id = $1", FOREIGN)
    first = await project(connection, told[:1], StateCache())
    later = await project(connection, told[1:2], StateCache())
    assert (first.versions, later.versions, later.unknown) == ({}, {}, {FOREIGN})
    assert FOREIGN not in await projected(connection)


@pytest.mark.parametrize("answer_lost", [False, True])
async def test_a_connection_that_breaks_at_any_statement_loses_nothing(
    played: Engine, *, answer_lost: bool
) -> None:
    connection = played.connection
    told = await messages(connection)
    # The foreign stream has a gap, so that it is read from the log.
    told = [each for each in told if (each.execution_id, each.first_version) != (FOREIGN, 2)]
    batches = [told[: len(told) // 2], told[len(told) // 2 :]]
    broken = 0
    for breaks_at in range(1, 20):
        await connection.execute("delete from playlog.snapshot")
        cache = StateCache()
        breaking = BreakingConnection(connection, breaks_at, answer_lost)
        for batch in batches:
            try:
                await project(cast("asyncpg.Connection", breaking), batch, cache)
            except ConnectionError:
                broken += 1
                await project(connection, batch, cache)
        await assert_snapshots_are_true(connection)
        assert await projected(connection) == await heads(connection)
    assert broken >= 4


async def test_a_message_that_says_more_than_the_log_is_not_believed(engine: Engine) -> None:
    connection, cache = engine.connection, StateCache()
    await append_foreign(connection, FOREIGN, foreign("node.done", 1, step="a"))
    [told] = await messages(connection)
    lost = told.events[0]._replace(version=2, step="lost")
    result = await project(connection, [replace(told, events=(*told.events, lost))], cache)
    assert result.versions == {}
    await append_foreign(connection, FOREIGN, foreign("node.done", 2, step="b"))
    await project(connection, (await messages(connection))[1:], cache)
    assert await projected(connection) == {FOREIGN: 2}
    await assert_snapshots_are_true(connection)
