"""Starting executions over HTTP, and what makes a start repeatable."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.public_api import PublicApi

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_start_answers_where_the_execution_stands(api: PublicApi) -> None:
    answer = await api.post("/executions", {"playbook": "tests/one", "labels": {"team": "a"}})
    assert answer.status == 201
    execution_id = answer.json["execution_id"]
    assert answer.json == {"execution_id": execution_id, "version": 2, "status": "running"}
    assert answer.headers["Location"] == f"/api/v1/executions/{execution_id}"
    assert answer.headers["Playlog-Version"] == "2"
    assert answer.headers["Cache-Control"] == "no-store, must-revalidate"
    assert {topic for topic, _ in api.wakes} == {"outbox", "commands", "appended"}


async def test_everything_asked_for_is_recorded(api: PublicApi) -> None:
    asked = {
        "playbook": "tests/one",
        "version": 1,
        "inputs": {"name": "Ada"},
        "key": "orders/2026 ü",
        "labels": {"team": "a"},
        "deadline": "1h30m",
        "priority": 7,
    }
    answer = await api.post("/executions", asked, headers={"traceparent": TRACE})
    events = (await api.get(f"/executions/{answer.json['execution_id']}/events")).json["items"]
    payload = events[0]["payload"]
    assert payload["inputs"] == {"name": "Ada"}
    assert (payload["key"], payload["labels"], payload["priority"]) == ("orders/2026 ü", {"team": "a"}, 7)
    assert events[0]["traceparent"] == TRACE
    assert {event["event_type"] for event in events} == {"execution.started", "command.issued"}


@pytest.mark.parametrize(
    ("first", "second", "status", "code"),
    [
        ({"key": "k"}, {"key": "k"}, 200, None),
        ({"key": "k"}, {"key": "k", "inputs": {"name": "x"}}, 409, "key"),
        ({"key": "k"}, {"key": "k", "labels": {"a": "b"}}, 409, "key"),
        ({"key": "k"}, {"key": "other"}, 201, None),
        ({"header": "h"}, {"header": "h"}, 200, None),
        ({"header": "h"}, {"header": "h", "inputs": {"name": "x"}}, 422, "idempotency_key"),
        ({"header": "h"}, {"header": "other"}, 201, None),
        ({"key": "k", "header": "h"}, {"key": "k", "header": "h"}, 200, None),
        ({"key": "same"}, {"header": "same"}, 201, None),
    ],
)
async def test_a_repeated_start_gets_the_first_answer_or_a_refusal(
    api: PublicApi, first: dict[str, Any], second: dict[str, Any], status: int, code: str | None
) -> None:
    one, two = await ask(api, first), await ask(api, second)
    assert (one.status, two.status) == (201, status)
    if status == 200:
        assert two.json == one.json
        assert two.headers["Location"] == one.headers["Location"]
    assert two.json.get("code") == code
    assert await api.rows("execution") == (2 if status == 201 else 1)


async def ask(api: PublicApi, order: dict[str, Any]) -> Any:
    order = dict(order)
    header = order.pop("header", None)
    headers = {} if header is None else {"Idempotency-Key": header}
    return await api.post("/executions", {"playbook": "tests/one", **order}, headers=headers)


async def test_of_many_starts_at_once_with_one_key_one_starts(api: PublicApi) -> None:
    answers = await asyncio.gather(*(ask(api, {"key": "k"}) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 19 + [201]
    assert len({answer.json["execution_id"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"playbook": "tests/none"}, 404, "unknown_playbook"),
        ({"playbook": "tests/one", "version": 2}, 404, "unknown_playbook"),
        ({"playbook": "tests/one", "inputs": {"name": 3}}, 422, "invalid_inputs"),
        ({"playbook": "tests/one", "inputs": {"nam": "x"}}, 422, "invalid_inputs"),
    ],
)
async def test_a_start_that_cannot_be_is_refused(
    api: PublicApi, order: dict[str, Any], status: int, code: str
) -> None:
    answer = await api.post("/executions", order)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert await api.rows("execution") == 0


async def test_a_paused_playbook_starts_nothing(api: PublicApi) -> None:
    await api.connection.execute("update playlog.playbook set paused = true where path = 'tests/one'")
    answer = await api.post("/executions", {"playbook": "tests/one"})
    assert (answer.status, answer.json["code"]) == (409, "paused")
