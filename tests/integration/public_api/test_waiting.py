"""Waiting over HTTP: woken by the projection, then one read, and never a loop over the database."""

from __future__ import annotations

import asyncio

import pytest

from public_api import watch
from tests.support.eventually import eventually
from tests.support.public_api import PublicApi


async def waiting(api: PublicApi, number: int) -> None:
    def check() -> None:
        assert len(api.waiters.watch) == number

    await eventually(check)


async def test_a_waiter_is_woken_by_the_projection_and_reads_once(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    await api.project(execution_id)
    request = asyncio.create_task(api.get(f"/executions/{execution_id}/wait"))
    await waiting(api, 1)
    await api.post(f"/executions/{execution_id}/signals/answer", "yes")
    written = api.pool.borrowed
    await api.project(execution_id)
    answer = await request
    assert (answer.status, answer.json["status"], answer.json["output"]) == (200, "completed", "yes")
    assert api.pool.borrowed == written + 1
    assert len(api.waiters.watch) == 0


async def test_waiting_is_two_looks_however_long_it_takes(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    await api.project(execution_id)
    before = api.pool.borrowed
    answer = await api.get(f"/executions/{execution_id}/wait?timeout_seconds=0.5")
    assert answer.status == 504
    assert api.pool.borrowed == before + 2


async def test_many_waiters_of_one_execution_read_together(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    await api.project(execution_id)
    api.pool.borrowed = 0
    requests = [asyncio.create_task(api.get(f"/executions/{execution_id}/wait")) for _ in range(30)]
    await waiting(api, 30)
    await looked(api, 30)
    await api.post(f"/executions/{execution_id}/signals/answer", "yes")
    written = api.pool.borrowed
    await api.project(execution_id)
    answers = await asyncio.gather(*requests)
    assert {answer.status for answer in answers} == {200}
    assert api.pool.borrowed == written + 1


async def looked(api: PublicApi, times: int) -> None:
    def check() -> None:
        assert api.pool.borrowed == times

    await eventually(check)


async def test_wakes_of_others_and_of_old_versions_cost_nothing(api: PublicApi) -> None:
    execution_id, other = await api.start("tests/deep/waiting"), await api.start("tests/deep/waiting")
    await api.project(execution_id)
    path = f"/executions/{execution_id}?min_version=4&wait=0.5"
    api.pool.borrowed = 0
    request = asyncio.create_task(api.get(path))
    await looked(api, 1)
    await api.project(other)
    api.waiters.heard(b"[[%d,3]]" % execution_id)
    assert (await request).json["code"] == "stale"
    assert api.pool.borrowed == 2


@pytest.mark.parametrize("body", [b"[]", b"unreadable"])
async def test_a_wake_for_everyone_makes_everyone_look(api: PublicApi, body: bytes) -> None:
    execution_id = await api.start("tests/deep/waiting")
    await api.project(execution_id)
    request = asyncio.create_task(api.get(f"/executions/{execution_id}/wait"))
    await waiting(api, 1)
    await api.post(f"/executions/{execution_id}/cancel")
    await api.project(execution_id, wake=False)
    api.waiters.heard(body)
    assert (await request).json["status"] == "cancelled"


async def test_a_lost_wake_only_costs_time(api: PublicApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SAFETY_SECONDS", 0.1)
    execution_id = await api.start("tests/deep/waiting")
    request = asyncio.create_task(api.get(f"/executions/{execution_id}/wait"))
    await waiting(api, 1)
    await api.post(f"/executions/{execution_id}/cancel")
    await api.project(execution_id, wake=False)
    assert (await request).json["status"] == "cancelled"


async def test_an_execution_that_has_not_ended_in_time_is_a_504(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    for expected in ("0", "2"):
        answer = await api.get(f"/executions/{execution_id}/wait?timeout_seconds=0.05")
        assert (answer.status, answer.json["code"]) == (504, "not_ended")
        assert answer.headers["Playlog-Projection-Version"] == expected
        await api.project(execution_id)
    assert (await api.get("/executions/1/wait")).json["code"] == "unknown_execution"


async def test_a_start_is_followed_by_a_read_that_waits_for_its_projection(api: PublicApi) -> None:
    execution_id = await api.start()
    request = asyncio.create_task(api.get(f"/executions/{execution_id}?wait=30"))
    await waiting(api, 1)
    await api.project(execution_id)
    assert (await request).json["status"] == "running"


async def test_who_waits_is_let_go_when_the_process_stops(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    request = asyncio.create_task(api.get(f"/executions/{execution_id}/wait"))
    await waiting(api, 1)
    api.waiters.watch.close()
    answer = await request
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert (await api.get(f"/executions/{execution_id}/wait")).status == 503
