"""Reading executions over HTTP: snapshots, lists, logs, and the moment before anything is projected."""

from __future__ import annotations

from engine.read.executions import Found
from tests.support.public_api import PublicApi


async def test_an_execution_is_shown_as_of_its_snapshot(api: PublicApi) -> None:
    execution_id = await api.start(inputs={"name": "Ada"}, labels={"team": "a"}, key="mine")
    await api.project(execution_id)
    answer = await api.get(f"/executions/{execution_id}")
    shown = answer.json
    assert (shown["execution_id"], shown["playbook"], shown["status"]) == (
        str(execution_id),
        "tests/one",
        "running",
    )
    assert (shown["inputs"], shown["labels"], shown["current_steps"]) == (
        {"name": "Ada"},
        {"team": "a"},
        ["only"],
    )
    assert shown["progress"] == {
        "total": 1,
        "completed": 0,
        "failed": 0,
        "running": 1,
        "skipped": 0,
        "items": None,
    }
    assert answer.headers["Playlog-Projection-Version"] == "2"
    assert answer.headers["Cache-Control"] == "no-cache"
    by_key = await api.get("/executions/by-key/mine")
    assert by_key.json == shown
    assert (await api.get("/executions/by-key/other")).json["code"] == "unknown_execution"


async def test_an_entity_tag_spares_the_document(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    await api.project(execution_id)
    path = f"/executions/{execution_id}"
    tag = (await api.get(path)).headers["ETag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = await api.get(path, headers={"If-None-Match": given})
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    assert (await api.get(path, headers={"If-None-Match": '"9.9"'})).status == 200
    await api.post(f"{path}/signals/answer", 1)
    await api.project(execution_id)
    changed = await api.get(path, headers={"If-None-Match": tag})
    assert (changed.status, changed.headers["ETag"] == tag) == (200, False)


async def test_an_execution_that_is_not_projected_yet_is_read_from_its_log(api: PublicApi) -> None:
    execution_id = await api.start()
    answer = await api.get(f"/executions/{execution_id}?wait=0")
    assert (answer.status, answer.json["version"], answer.json["status"]) == (200, 2, "running")
    assert answer.json["inputs"] == {"name": "world"}
    await api.project(execution_id)
    assert (await api.get(f"/executions/{execution_id}")).json == answer.json
    assert (await api.get(f"/executions/{execution_id + 1}?wait=0")).status == 404


async def test_a_log_too_long_to_fold_for_one_reader_is_stale_until_it_is_projected(api: PublicApi) -> None:
    execution_id = await api.start()
    await api.connection.execute("update playlog.execution set version = 1001")
    answer = await api.get(f"/executions/{execution_id}?wait=0")
    assert (answer.status, answer.json["code"]) == (409, "stale")
    assert answer.headers["Playlog-Projection-Version"] == "0"


async def test_a_version_that_is_not_projected_in_time_is_stale(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    await api.project(execution_id)
    told = await api.post(f"/executions/{execution_id}/signals/answer", 1)
    version = told.json["version"]
    for path in ("", "/steps"):
        answer = await api.get(f"/executions/{execution_id}{path}?min_version={version}&wait=0.05")
        assert (answer.status, answer.json["code"]) == (409, "stale")
        assert (answer.headers["Playlog-Projection-Version"], answer.headers["Retry-After"]) == ("2", "1")
    await api.project(execution_id)
    answer = await api.get(f"/executions/{execution_id}?min_version={version}&wait=0")
    assert (answer.status, answer.json["version"]) == (200, version)


async def test_the_steps_of_an_execution_are_listed(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    assert (await api.get(f"/executions/{execution_id}/steps?wait=0")).json["code"] == "stale"
    await api.project(execution_id)
    answer = await api.get(f"/executions/{execution_id}/steps")
    assert [(item["step"], item["status"]) for item in answer.json["items"]] == [("ask", "waiting")]


async def test_events_come_in_version_order_in_pages_and_by_type(api: PublicApi) -> None:
    execution_id = await api.start("tests/deep/waiting")
    await api.post(f"/executions/{execution_id}/signals/answer", {"ok": True})
    path = f"/executions/{execution_id}/events"
    whole = (await api.get(path)).json
    assert [event["version"] for event in whole["items"]] == list(range(1, len(whole["items"]) + 1))
    assert whole["next_after_version"] is None
    seen, onwards = [], f"{path}?limit=2"
    while onwards:
        page = await api.get(onwards)
        seen += page.json["items"]
        onwards = page.headers.get("Link", "").removeprefix("<").removesuffix('>; rel="next"')
    assert seen == whole["items"]
    signals = (await api.get(f"{path}?types=signal.received,timer.set")).json["items"]
    assert [event["payload"] for event in signals] == [{"name": "answer", "data": {"ok": True}}]
    assert (await api.get(f"{path}?after_version=99")).json["items"] == []
    assert (await api.get("/executions/1/events")).json["code"] == "unknown_execution"


async def test_a_list_stays_as_it_was_while_executions_start(api: PublicApi) -> None:
    ids = [await api.start(labels={"n": str(n)}) for n in range(5)]
    await api.project(*ids)
    page = await api.get("/executions?limit=2")
    seen = page.json["items"]
    while page.json["next_cursor"]:
        late = await api.start()
        await api.project(late)
        onwards = page.headers["Link"].removeprefix("<").removesuffix('>; rel="next"')
        assert page.json["next_cursor"] in onwards
        page = await api.get(onwards)
        seen += page.json["items"]
    assert [int(item["execution_id"]) for item in seen] == ids[::-1]


async def test_a_list_is_narrowed(api: PublicApi) -> None:
    one = await api.start(labels={"team": "a"})
    other = await api.start("tests/deep/waiting", labels={"team": "b"})
    await api.project(one, other)
    for query, expected in {
        "status=waiting": [other],
        "playbook=tests/one": [one],
        "label=team": [other, one],
        "label=team%3Da": [one],
        "order=asc": [one, other],
        f"search={one}": [one],
        "started_after=2020-01-01T00:00:00Z": [other, one],
        "started_before=2020-01-01T00:00:00.5%2B02:00": [],
    }.items():
        answer = await api.get(f"/executions?{query}")
        assert [int(item["execution_id"]) for item in answer.json["items"]] == expected, query


def test_an_entity_tag_is_version_and_fold() -> None:
    assert Found({}, 7, 3).etag == "7.3"
