"""Registering playbooks over HTTP, and reading them back."""

from __future__ import annotations

import orjson
import pytest

from tests.support.public_api import JSON, ONE_STEP, YAML, PublicApi

BROKEN = """
playbook: tests/broken
steps:
  - name: one
    tool: nop
  - name: two
    tool: noop
    needs: [thre]
"""


async def test_a_new_content_is_a_new_version_and_the_same_content_is_not(api: PublicApi) -> None:
    again = await api.register(ONE_STEP)
    assert (again.status, again.json["version"], again.json["created"]) == (200, 1, False)
    changed = await api.register(ONE_STEP.replace("One step.", "Still one."))
    assert (changed.status, changed.json["version"], changed.json["path"]) == (201, 2, "tests/one")
    assert changed.json["hash"] != again.json["hash"]


@pytest.mark.parametrize("form", ["wrapped", "json", "yaml"])
async def test_a_source_is_taken_as_yaml_as_json_or_wrapped(api: PublicApi, form: str) -> None:
    playbook = {"playbook": "tests/form", "steps": [{"name": "a", "tool": "noop"}]}
    source = {
        "wrapped": {"source": "playbook: tests/form\nsteps:\n- {name: a, tool: noop}\n"},
        "json": playbook,
        "yaml": playbook,
    }[form]
    headers = YAML if form == "yaml" else JSON
    answer = await api.post("/playbooks", data=orjson.dumps(source), headers=headers)
    assert (answer.status, answer.json["path"], answer.json["version"]) == (201, "tests/form", 1)
    again = await api.post("/playbooks", playbook)
    assert (again.status, again.json["hash"]) == (200, answer.json["hash"])


async def test_every_fault_of_a_playbook_is_told_with_its_place(api: PublicApi) -> None:
    answer = await api.register(BROKEN)
    assert (answer.status, answer.json["code"]) == (422, "invalid_playbook")
    faults = answer.json["faults"]
    assert [(fault["line"], fault["column"]) for fault in faults] == [(5, 11), (8, 13)]
    assert [error["msg"] for error in answer.json["errors"]] == [fault["text"] for fault in faults]
    assert faults[0]["text"].startswith("playbook.yaml:5:11: ")
    assert await api.rows("playbook") == 2


async def test_a_dry_run_stores_nothing_and_says_what_would_be(api: PublicApi) -> None:
    same = await api.post("/playbooks?dry_run", data=ONE_STEP, headers=YAML)
    assert (same.status, same.json["version"], same.json["created"]) == (200, 1, False)
    changed = ONE_STEP.replace("One step.", "Still one.")
    other = await api.post("/playbooks?dry_run=true", data=changed, headers=YAML)
    assert (other.status, other.json["version"], other.json["created"]) == (200, 2, True)
    new = await api.post("/playbooks?dry_run", data=ONE_STEP.replace("/one", "/new"), headers=YAML)
    assert (new.status, new.json["version"]) == (200, 1)
    assert (await api.post("/playbooks?dry_run", data=BROKEN, headers=YAML)).status == 422
    assert await api.rows("playbook_version") == 2


async def test_a_playbook_is_read_in_its_newest_or_any_version(api: PublicApi) -> None:
    await api.register(ONE_STEP.replace("One step.", "Still one."))
    newest = (await api.get("/playbooks/tests/one")).json
    assert (newest["version"], newest["latest_version"], newest["paused"]) == (2, 2, False)
    assert newest["definition"]["playbook"] == "tests/one"
    first = (await api.get("/playbooks/tests/one?version=1")).json
    assert (first["version"], first["source"], first["tags"]) == (1, ONE_STEP, ["small", "quick"])
    for unknown in ("tests/one?version=3", "tests", "tests/", "tests/none", "Tests/One", "a%00b"):
        answer = await api.get(f"/playbooks/{unknown}")
        assert (answer.status, answer.json["code"]) == (404, "unknown_playbook"), unknown


async def test_the_versions_of_a_path_with_slashes_come_in_pages_newest_first(api: PublicApi) -> None:
    for number in range(2, 6):
        await api.register(ONE_STEP.replace("One step.", f"Number {number}."))
    path, seen = "/playbooks/tests/one/versions?limit=2", []
    while path:
        page = await api.get(path)
        seen += [item["version"] for item in page.json["items"]]
        path = page.headers.get("Link", "").removeprefix("<").removesuffix('>; rel="next"')
    assert seen == [5, 4, 3, 2, 1]
    assert (await api.get("/playbooks/tests/none/versions")).status == 404


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("", ["tests/deep/waiting", "tests/one"]),
        ("search=WAIT", ["tests/deep/waiting"]),
        ("tag=quick", ["tests/one"]),
        ("owner=team-a", ["tests/one"]),
        ("paused=false&tag=nope", []),
        ("paused=true", []),
        ("limit=1", ["tests/deep/waiting"]),
    ],
)
async def test_playbooks_are_listed_by_path_and_narrowed(
    api: PublicApi, query: str, paths: list[str]
) -> None:
    answer = await api.get(f"/playbooks?{query}")
    assert [item["path"] for item in answer.json["items"]] == paths
    assert (answer.json["next_cursor"] is not None) == (query == "limit=1")


async def test_a_cursor_belongs_to_its_list(api: PublicApi) -> None:
    cursor = (await api.get("/playbooks?limit=1")).json["next_cursor"]
    second = await api.get(f"/playbooks?limit=1&cursor={cursor}")
    assert [item["path"] for item in second.json["items"]] == ["tests/one"]
    for path in ("/playbooks?tag=small", "/playbooks/tests/one/versions?limit=1", "/executions?limit=1"):
        answer = await api.get(f"{path}&cursor={cursor}")
        assert (answer.status, answer.json["code"]) == (400, "bad_cursor"), path
