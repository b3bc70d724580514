"""The stream of one execution: history, then live, each event once and in order, until it has ended."""

from __future__ import annotations

import asyncio

import pytest

from public_api import event_source, watch
from tests.support.event_source import Sent, listening
from tests.support.eventually import eventually
from tests.support.public_api import PublicApi


def ids(sent: list[Sent]) -> list[str | None]:
    return [each.id for each in sent]


async def ended(api: PublicApi, signals: int = 0) -> int:
    execution_id = await api.start("tests/deep/waiting")
    for number in range(signals):
        await api.post(f"/executions/{execution_id}/signals/other", number)
    await api.post(f"/executions/{execution_id}/signals/answer", "yes")
    return execution_id


async def test_history_is_followed_by_what_happens_and_the_end(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    async with listening(api.session, f"/executions/{execution_id}/stream") as source:
        history = await source.take(2)
        await api.post(f"/executions/{execution_id}/signals/answer", "yes")
        rest = await source.rest()
    events = (await api.get(f"/executions/{execution_id}/events")).json["items"]
    *told, end = [*history, *rest]
    assert [each.data for each in told] == events
    assert ids(told) == [str(event["version"]) for event in events]
    assert end == Sent("end", str(len(events)), {"version": len(events), "status": "completed"})
    headers = source.response.headers
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-cache", "no")
    assert headers["X-Request-Id"]


async def test_from_every_position_each_later_event_comes_exactly_once_in_order(api: PublicApi) -> None:
    execution_id = await ended(api, signals=3)
    async with listening(api.session, f"/executions/{execution_id}/stream") as source:
        *whole, end = await source.rest()
    last = len(whole)
    for position in range(last):
        for how in ({"last_event_id": str(position)}, {}):
            query = "?after_version=1" if how else f"?after_version={position}"
            path = f"/executions/{execution_id}/stream{query}"
            async with listening(api.session, path, **how) as source:
                assert await source.rest() == [*whole[position:], end]
    gone_on = await api.get(f"/executions/{execution_id}/stream", headers={"Last-Event-ID": str(last)})
    assert (gone_on.status, gone_on.body) == (204, b"")


async def test_a_log_longer_than_a_page_is_told_whole(
    api: PublicApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.read.tails.EVENTS_AT_ONCE", 3)
    monkeypatch.setattr("engine.read.tails.BYTES_AT_ONCE", 40)
    execution_id = await ended(api, signals=8)
    async with listening(api.session, f"/executions/{execution_id}/stream") as source:
        *told, end = await source.rest()
    assert ids(told) == [str(version) for version in range(1, end.data["version"] + 1)]
    assert len(told) > 10


async def test_only_the_types_that_are_asked_for_are_told_and_the_end_moves_on(api: PublicApi) -> None:
    execution_id = await ended(api)
    query = "?types=signal.received,execution.completed"
    async with listening(api.session, f"/executions/{execution_id}/stream{query}") as source:
        *told, end = await source.rest()
    assert [each.data["event_type"] for each in told] == ["signal.received", "execution.completed"]
    assert end.id == source.last_id


async def test_a_lost_wake_only_costs_time(api: PublicApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SAFETY_SECONDS", 0.1)
    execution_id = await api.start("tests/deep/waiting")
    async with listening(api.session, f"/executions/{execution_id}/stream") as source:
        await source.take(2)
        monkeypatch.setattr(api.live.recorded, "_tell", lambda *_: None)
        await api.post(f"/executions/{execution_id}/cancel")
        monkeypatch.undo()
        monkeypatch.setattr(watch, "SAFETY_SECONDS", 0.1)
        api.live.recorded.heard(b"[]")
        assert (await source.rest())[-1].data["status"] == "cancelled"


async def test_many_followers_of_many_executions_are_read_for_together(api: PublicApi) -> None:
    executions = [await api.start("tests/deep/waiting") for _ in range(5)]
    async with asyncio.TaskGroup() as tasks:
        followers = [tasks.create_task(follow(api, each)) for each in executions * 4]

        async def all_wait() -> None:
            assert len(api.live.recorded) == 20
            assert all(watcher.beyond == 2 for watcher in api.live.recorded.watchers())

        await eventually(all_wait)
        before = api.pool.borrowed
        for each in executions:
            await api.post(f"/executions/{each}/cancel")
        for follower in followers:
            assert await follower == ["1", "2", "3", "3"]
    assert api.pool.borrowed - before <= len(executions)


async def follow(api: PublicApi, execution_id: int) -> list[str | None]:
    async with listening(api.session, f"/executions/{execution_id}/stream") as source:
        return ids(await source.rest())


@pytest.mark.parametrize("given", ["", "x", "-1", "1.0", "99999999999", "1-2-3"])
async def test_what_is_no_version_is_a_400(api: PublicApi, given: str) -> None:
    execution_id = await api.start("tests/deep/waiting")
    answer = await api.get(f"/executions/{execution_id}/stream", headers={"Last-Event-ID": given})
    assert (answer.status, answer.json["code"]) == (400, "bad_last_event_id")


async def test_a_version_that_the_log_does_not_hold_is_a_400(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    answer = await api.get(f"/executions/{execution_id}/stream?after_version=3")
    assert (answer.status, answer.json["code"]) == (400, "bad_last_event_id")


async def test_what_nobody_started_or_retention_removed_is_a_problem(api: PublicApi) -> None:
    assert (await api.get("/executions/1/stream")).json["code"] == "unknown_execution"
    execution_id = await ended(api)
    await api.connection.execute(
        "insert into playlog.retention (kind, name, low_id, high_id) values ('purged', 'event', $1, $2)",
        execution_id,
        execution_id + 1,
    )
    assert (await api.get(f"/executions/{execution_id}/stream")).status == 410


async def test_an_idle_stream_is_pinged(api: PublicApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_source, "PING_SECONDS", 0.05)
    execution_id = await api.start("tests/deep/waiting")
    async with listening(api.session, f"/executions/{execution_id}/stream") as source:
        await source.take(2)
        lines = [await source.response.content.readline() for _ in range(4)]
    assert lines == [b": ping\n", b"\n"] * 2
