"""Cancelling executions and giving them signals over HTTP."""

from __future__ import annotations

from tests.support.public_api import PublicApi


async def test_a_cancel_ends_the_execution_and_answers_the_same_when_repeated(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    path = f"/executions/{execution_id}/cancel"
    first = await api.post(path, {"reason": "changed my mind"})
    assert (first.status, first.json["status"]) == (202, "cancelled")
    assert first.headers["Playlog-Version"] == str(first.json["version"])
    again = await api.post(path)
    assert (again.status, again.json) == (202, first.json)
    events = (await api.get(f"/executions/{execution_id}/events?types=execution.cancelled")).json["items"]
    assert [event["payload"]["reason"] for event in events] == ["changed my mind"]


async def test_what_cannot_be_cancelled_or_told_is_refused(api: PublicApi) -> None:
    done = await api.start("tests/deep/waiting")
    await api.post(f"/executions/{done}/signals/answer", "yes")
    for path, status, code in (
        (f"/executions/{done}/cancel", 409, "terminal_execution"),
        (f"/executions/{done}/signals/answer", 409, "terminal_execution"),
        ("/executions/1/cancel", 404, "unknown_execution"),
        ("/executions/1/signals/answer", 404, "unknown_execution"),
    ):
        answer = await api.post(path, {})
        assert (answer.status, answer.json["code"]) == (status, code), path
    live = await api.start()
    answer = await api.post(f"/executions/{live}/cancel", {"compensate": "yes"})
    assert (answer.status, answer.json["errors"][0]["loc"]) == (422, ["body", "compensate"])


async def test_a_signal_is_any_json_and_is_kept_when_it_comes_early(api: PublicApi) -> None:
    values: tuple[object, ...] = (None, 3, "text", [1, {"a": None}], {"deep": [[]]}, False)
    for data in values:
        execution_id = await api.start("tests/deep/waiting")
        early = await api.post(f"/executions/{execution_id}/signals/later", 1)
        assert (early.status, early.json["status"]) == (202, "waiting")
        told = await api.post(f"/executions/{execution_id}/signals/answer", data)
        assert (told.status, told.json["status"]) == (202, "completed")
        await api.project(execution_id)
        assert (await api.get(f"/executions/{execution_id}")).json["output"] == data


async def test_a_signal_with_an_idempotency_key_counts_once(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    path = f"/executions/{execution_id}/signals/later"
    first = await api.post(path, {"n": 1}, headers={"Idempotency-Key": "a"})
    again = await api.post(path, {"n": 1}, headers={"Idempotency-Key": "a"})
    assert (first.status, again.status, again.json) == (202, 202, first.json)
    changed = await api.post(path, {"n": 2}, headers={"Idempotency-Key": "a"})
    assert (changed.status, changed.json["code"]) == (409, "conflict")
    other = await api.post(path, {"n": 1}, headers={"Idempotency-Key": "b"})
    assert other.json["version"] == first.json["version"] + 1


async def test_a_full_mailbox_is_busy(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    path = f"/executions/{execution_id}/signals/later"
    for _ in range(1000):
        assert (await api.post(path, 1)).status == 202
    answer = await api.post(path, 1)
    assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (429, "mailbox_full", "10")
