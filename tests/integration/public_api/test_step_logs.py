"""The lines of tools over HTTP: by page in the order of arrival, and as they arrive, none missing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from engine.runtime.database import Connection
from engine.write import step_logs
from engine.write.step_logs import Line
from public_api import step_logs as routes
from public_api import watch
from tests.support.event_source import Sent, listening
from tests.support.public_api import PublicApi
from tests.support.servers import connected

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def line(execution_id: int, command_id: int, seq: int, *, step: str = "a", attempt: int = 1) -> Line:
    return Line(execution_id, command_id, seq, step, attempt, "stdout", f"{command_id}.{seq}", NOW)


async def write(connection: Connection, *lines: Line, wake: PublicApi | None = None) -> None:
    stored = await step_logs.store(connection, lines)
    if wake is not None:
        wake.live.logged.heard(orjson.dumps([list(each) for each in stored]))


def texts(items: list[Any]) -> list[str]:
    return [(each.data if isinstance(each, Sent) else each)["line"] for each in items]


async def test_pages_lead_through_all_lines_in_the_order_of_arrival(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    for seq in range(3):
        await write(api.connection, line(execution_id, 9, seq), line(execution_id, 2, seq, step="b"))
    path = f"/executions/{execution_id}/logs"
    page = (await api.get(f"{path}?limit=4")).json
    rest = (await api.get(f"{path}?limit=4&after={page['next_after']}")).json
    assert texts(page["items"] + rest["items"]) == ["2.0", "9.0", "2.1", "9.1", "2.2", "9.2"]
    assert rest["next_after"] is None
    assert page["items"][0] == {
        "id": page["items"][0]["id"],
        "step": "b",
        "attempt": 1,
        "command_id": "2",
        "seq": 0,
        "stream": "stdout",
        "line": "2.0",
        "logged_at": "2026-01-02T00:00:00.000000Z",
    }
    assert texts((await api.get(f"{path}?step=b")).json["items"]) == ["2.0", "2.1", "2.2"]
    assert (await api.get(f"{path}?attempt=2")).json["items"] == []


async def test_lines_are_told_as_they_arrive_until_the_execution_is_over(
    api: PublicApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "STRAGGLER_SECONDS", 0.3)
    monkeypatch.setattr(watch, "SAFETY_SECONDS", 0.1)
    execution_id = await api.start("tests/deep/waiting")
    path = f"/executions/{execution_id}/logs?follow"
    await write(api.connection, line(execution_id, 1, 0))
    async with listening(api.session, path) as source:
        told = await source.take(1)
        await write(api.connection, line(execution_id, 1, 1), wake=api)
        told += await source.take(1)
        await write(api.connection, line(execution_id, 1, 2), line(execution_id, 1, 3, step="b"))
        api.live.logged.heard(b"[]")
        told += await source.take(2)
        await api.post(f"/executions/{execution_id}/cancel")
        await write(api.connection, line(execution_id, 1, 4), wake=api)
        *rest, end = await source.rest()
    told += rest
    assert texts(told) == ["1.0", "1.1", "1.2", "1.3", "1.4"]
    assert (end.event, end.data) == ("end", {"status": "cancelled"})
    for position, each in enumerate(told):
        async with listening(api.session, path, last_event_id=each.id) as source:
            assert await source.rest() == [*told[position + 1 :], end]


async def test_a_line_waits_for_an_older_transaction_whose_lines_come_first(
    api: PublicApi, database_url: str
) -> None:
    execution_id = await api.start("tests/deep/waiting")
    async with connected(database_url) as slow:
        transaction = slow.transaction()
        await transaction.start()
        await write(slow, line(execution_id, 1, 0))
        async with listening(api.session, f"/executions/{execution_id}/logs?follow") as source:
            await write(api.connection, line(execution_id, 2, 0), wake=api)
            assert (await api.get(f"/executions/{execution_id}/logs")).json["items"] == []
            with pytest.raises(TimeoutError):
                await source.next(0.3)
            await transaction.commit()
            assert texts(await source.take(2)) == ["1.0", "2.0"]


async def test_who_follows_an_idle_execution_costs_no_query_of_its_own(
    api: PublicApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = await api.start("tests/deep/waiting")
    await write(api.connection, line(execution_id, 1, 0, step="b"))
    async with listening(api.session, f"/executions/{execution_id}/logs?follow&step=a"):
        await api.live.logged.look()
        await asyncio.sleep(0)
        before = api.pool.borrowed
        for _ in range(3):
            await api.live.logged.look()
            await api.live.logged.look()
        assert api.pool.borrowed <= before + 7


@pytest.mark.parametrize("given", ["x", "1-2", "1-2-3-4", "1-99999999999999999999-1"])
async def test_what_is_no_place_is_a_400(api: PublicApi, given: str) -> None:
    execution_id = await api.start("tests/deep/waiting")
    answer = await api.get(f"/executions/{execution_id}/logs?after={given}")
    assert (answer.status, answer.json["code"]) == (400, "bad_last_event_id")
    follow = f"/executions/{execution_id}/logs?follow"
    assert (await api.get(follow, headers={"Last-Event-ID": given})).status == 400


async def test_an_unknown_execution_has_no_lines(api: PublicApi) -> None:
    for query in ("", "?follow"):
        assert (await api.get(f"/executions/1/logs{query}")).json["code"] == "unknown_execution"
