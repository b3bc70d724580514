"""Lists of executions: every filter, pages that cover everything once, and cursors nobody can bend."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from engine.errors import Invalid, Malformed
from engine.read.listing import Filters, list_executions
from engine.read.projection import advance
from tests.support.engine import Engine
from tests.support.projecting import FOREIGN, append_foreign, foreign, heads, play_some

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
async def ids(engine: Engine) -> list[int]:
    ids = await play_some(engine)
    ids.append(await engine.start("tests/two", labels={"team": "a", "env": "x=y"}, key="k"))
    for number in range(3):
        await append_foreign(engine.connection, FOREIGN + number, foreign("node.started", 1, step="a"))
    await advance(engine.connection, await heads(engine.connection))
    return [*ids, *(FOREIGN + number for number in range(3))]


async def listed(engine: Engine, limit: int = 200, **filters: Any) -> list[int]:
    page = await list_executions(engine.connection, Filters(**filters), limit=limit)
    return [int(str(item["execution_id"])) for item in page.items]


async def test_each_filter_narrows_the_list(engine: Engine, ids: list[int]) -> None:
    complete, failed, waiting, labelled, *foreigners = ids
    everything = sorted(ids, reverse=True)
    assert await listed(engine) == everything
    assert await listed(engine, status="failed") == [failed]
    assert await listed(engine, playbook="tests/waiting") == [waiting]
    assert await listed(engine, playbook="tests/two", status="completed") == [complete]
    assert await listed(engine, label="team") == await listed(engine, label="team=a") == [labelled]
    assert await listed(engine, label="env=x=y") == [labelled]
    assert await listed(engine, label="team=b") == []
    assert await listed(engine, search=str(FOREIGN)[:3]) == sorted(foreigners, reverse=True)
    assert await listed(engine, search=str(failed)) == [failed]
    assert await listed(engine, search="9") == []
    assert await listed(engine, started_after=TOMORROW) == []
    assert await listed(engine, started_before=TOMORROW) == everything


async def test_an_item_shows_the_execution_without_its_values(engine: Engine, ids: list[int]) -> None:
    [item] = (await list_executions(engine.connection, Filters(label="team"))).items
    assert item["execution_id"] == str(ids[3])
    assert {name: item[name] for name in ("playbook", "status", "key", "labels", "parent", "ended_at")} == {
        "playbook": "tests/two",
        "status": "running",
        "key": "k",
        "labels": {"team": "a", "env": "x=y"},
        "parent": None,
        "ended_at": None,
    }


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("search", [None, "5"])
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_cover_everything_once(
    engine: Engine, ids: list[int], order: Literal["asc", "desc"], search: str | None, limit: int
) -> None:
    filters = Filters(search=search)
    found: list[int] = []
    cursor = None
    while True:
        page = await list_executions(engine.connection, filters, order=order, limit=limit, cursor=cursor)
        found += [int(str(item["execution_id"])) for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == limit
    wanted = [each for each in ids if search is None or str(each).startswith(search)]
    assert found == sorted(wanted, reverse=order == "desc")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda _: "%%%",
        lambda _: "é",
        lambda _: base64.urlsafe_b64encode(b'["1"]').decode(),
        lambda _: base64.urlsafe_b64encode(b'["1", "00"]').decode(),
        lambda _: base64.urlsafe_b64encode(b"12").decode(),
        lambda cursor: cursor[:-4],
        lambda cursor: "A" + cursor[1:],
    ],
)
async def test_a_cursor_that_was_not_given_is_refused(engine: Engine, ids: list[int], spoil: Any) -> None:
    cursor = (await list_executions(engine.connection, Filters(), limit=1)).next_cursor
    with pytest.raises(Malformed) as refused:
        await list_executions(engine.connection, Filters(), limit=1, cursor=spoil(cursor))
    assert refused.value.code == "bad_cursor"


async def test_a_cursor_belongs_to_its_list(engine: Engine, ids: list[int]) -> None:
    cursor = (await list_executions(engine.connection, Filters(), limit=1)).next_cursor
    with pytest.raises(Malformed):
        await list_executions(engine.connection, Filters(status="failed"), cursor=cursor)
    with pytest.raises(Malformed):
        await list_executions(engine.connection, Filters(), order="asc", cursor=cursor)


@pytest.mark.parametrize(
    ("filters", "limit"),
    [
        ({"status": "RUNNING"}, 20),
        ({"status": "lost"}, 20),
        ({"label": ""}, 20),
        ({"label": "=a"}, 20),
        ({"label": "a=\0"}, 20),
        ({"playbook": "\0"}, 20),
        ({"search": "x"}, 20),
        ({"search": "0"}, 20),
        ({"search": "-1"}, 20),
        ({"search": "9" * 20}, 20),
        ({}, 0),
        ({}, 201),
    ],
)
async def test_what_cannot_be_asked_is_refused(engine: Engine, filters: dict[str, str], limit: int) -> None:
    with pytest.raises(Invalid):
        await listed(engine, limit, **filters)
