"""The examples are valid, name their schema, and their sample code does what they tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from engine.language import parse
from playbooks.examples import tasks
from playbooks.examples.hello import greet
from playbooks.examples.orders import price_order
from playbooks.examples.service import make_service

ROOT = Path(__file__).parents[3] / "playbooks"
LINES = 30
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_tells_editors_its_schema(example: Path) -> None:
    source = example.read_text()
    assert source.startswith("# yaml-language-server: $schema=../playbook.schema.json\n# ")
    assert len(source.splitlines()) <= LINES
    assert parse(source.encode(), example.name).path == f"examples/{example.stem}"


def test_the_functions_of_the_small_examples_give_the_same_whenever_they_are_called() -> None:
    assert [tasks.measure(word, 1) for word in ("ant", "elephant")] == [3, 8]
    assert tasks.measure("bee") == 3
    with pytest.raises(ConnectionError):
        tasks.measure("bee", 1)
    assert tasks.release(tasks.reserve("apple")) == "apple-1 is free again"
    assert [tasks.progress(asked)["percent"] for asked in (1, 4, 5)] == [25, 100, 100]


def test_hello_greets() -> None:
    assert greet("Ada") == {"greeting": "Hello, Ada!"}


def test_an_order_is_priced_also_of_what_is_not_on_the_list() -> None:
    assert price_order({"item": "apple", "quantity": 2})["cents"] == 60
    assert price_order({"item": "tea", "quantity": 1})["cents"] == 100


async def test_the_sample_service_is_down_twice_a_day_and_then_gives_the_orders() -> None:
    async with TestClient(TestServer(make_service())) as client:
        answers = [await client.get("/orders", params={"day": "2026-01-30"}) for _ in range(3)]
        assert [answer.status for answer in answers] == [503, 503, 200]
        assert len((await answers[2].json())["orders"]) == 3
        assert (await client.get("/orders", params={"day": "2026-01-31"})).status == 503
        assert (await client.get("/orders", params={"day": "today"})).status == 400


async def test_the_sample_service_tells_prices_to_who_has_its_token() -> None:
    async with TestClient(TestServer(make_service())) as client:
        assert (await client.get("/prices", params={"item": "apple"})).status == 401
        allowed = {"Authorization": "Bearer open-sesame"}
        answer = await client.get("/prices", params={"item": "apple"}, headers=allowed)
        assert await answer.json() == {"item": "apple", "cents": 30, "allowed_by": "Bearer open-sesame"}
        assert (await client.get("/prices", params={"item": "gold"}, headers=allowed)).status == 404


async def test_the_sample_service_keeps_what_is_published() -> None:
    async with TestClient(TestServer(make_service())) as client:
        assert (await client.post("/publish", json={"orders": []})).status == 201
        assert await (await client.get("/published")).json() == [{"orders": []}]
