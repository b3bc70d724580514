"""The examples are valid, name their schema, and their sample code does what they tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from engine.language import parse
from playbooks.examples.hello import greet
from playbooks.examples.orders import price_orders
from playbooks.examples.service import make_service

ROOT = Path(__file__).parents[3] / "playbooks"
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_tells_editors_its_schema(example: Path) -> None:
    source = example.read_text()
    assert source.startswith("# yaml-language-server: $schema=../playbook.schema.json\n")
    assert parse(source.encode(), example.name).path == f"examples/{example.stem}"


def test_hello_greets() -> None:
    assert greet("Ada") == {"greeting": "Hello, Ada!"}


def test_orders_are_priced_and_summed() -> None:
    priced = price_orders([{"item": "apple", "quantity": 2}, {"item": "tea", "quantity": 1}])
    assert priced["total"] == 160
    assert [order["cents"] for order in priced["orders"]] == [60, 100]
    assert price_orders([]) == {"orders": [], "total": 0}


async def test_the_sample_service_is_down_twice_a_day_and_then_gives_the_orders() -> None:
    async with TestClient(TestServer(make_service())) as client:
        answers = [await client.get("/orders", params={"day": "2026-01-30"}) for _ in range(3)]
        assert [answer.status for answer in answers] == [503, 503, 200]
        assert len((await answers[2].json())["orders"]) == 3
        assert (await client.get("/orders", params={"day": "2026-01-31"})).status == 503
        assert (await client.get("/orders", params={"day": "today"})).status == 400


async def test_the_sample_service_keeps_what_is_published() -> None:
    async with TestClient(TestServer(make_service())) as client:
        assert (await client.post("/publish", json={"orders": []})).status == 201
        assert await (await client.get("/published")).json() == [{"orders": []}]
