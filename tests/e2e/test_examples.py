"""Each example does what it tells, on one engine as `playlog dev` starts it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from pydantic import JsonValue

from playbooks.examples.service import TOKEN
from playlog.answers import Execution
from playlog.cli.demo.story import CHAPTERS, SERVICE_ADDRESS, source_of
from playlog.client import Client
from tests.support import servers
from tests.support.command_line import dev
from tests.support.eventually import eventually
from tests.support.programs import python
from tests.support.roles import free_port
from tests.support.tree import ROOT

SERVICE = "from playbooks.examples.service import main; main()"
NAMES = sorted(path.stem for path in (ROOT / "playbooks/examples").glob("*.yaml"))


@dataclass(frozen=True, kw_only=True)
class Case:
    """An example: what goes in, which signals it is sent, and what has to come out."""

    name: str
    inputs: Mapping[str, JsonValue] = field(default_factory=dict)
    signals: Sequence[tuple[str, JsonValue]] = ()
    output: JsonValue = None
    error: str | None = None
    attempts: Mapping[str, int] = field(default_factory=dict)


CASES = (
    Case(name="sequence", output="TO BE OR NOT"),
    Case(name="sequence", inputs={"text": "a b"}, output="A B"),
    Case(name="parallel", output=["Hello, left!", "Hello, right!"]),
    Case(name="route", output={"checked": False, "booked": True}),
    Case(name="route", inputs={"amount": 1}, output={"checked": False, "booked": False}),
    Case(name="retry", output="attempt 3 was good", attempts={"call": 3}),
    Case(name="retry", inputs={"good_attempt": 6}, error="python_error", attempts={"call": 5}),
    Case(name="errors", output={"asked": "failed", "error": "timeout", "guessed": True}),
    Case(
        name="errors",
        inputs={"seconds": "soon"},
        output={"asked": "failed", "error": "exit_status", "guessed": False},
    ),
    Case(
        name="errors", inputs={"seconds": "0"}, output={"asked": "completed", "error": None, "guessed": False}
    ),
    Case(name="approval", signals=[("approved", {"by": "Ada"})], output={"published": True, "by": "Ada"}),
    Case(
        name="loop",
        signals=[("reviewed", {"good": False, "remark": "too long"}), ("reviewed", {"good": True})],
        output="a text that is not too long",
        attempts={"write": 2},
    ),
    Case(name="poll", output={"percent": 100}, attempts={"look": 4}),
    Case(name="task", output="Hello, world!"),
    Case(name="child", inputs={"name": "Ada"}, output="Hello, Ada!"),
    Case(name="parent", output={"one": "Hello, all!", "each": ["Hello, Ada!", "Hello, Grace!"]}),
    Case(name="map", output={"words": 4, "lengths": [3, 3, 3, 3]}),
    Case(name="map_continue", output={"lengths": [3, None, 3], "failed": [1]}),
    Case(name="http", output={"cents": 30, "allowed_by": "Bearer ***"}),
    Case(name="http", inputs={"item": "gold"}, output={"cents": None, "allowed_by": ""}),
    Case(name="saga", inputs={"ships": True}, output="shipped"),
    Case(name="saga", error="exit_status"),
)


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[Client]:
    """A client of an engine at which all examples are registered, with the service of theirs beside it."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    settings = {"PLAYLOG_TASKS_PATH": str(ROOT), "PLAYLOG_SECRET_SHOP_TOKEN": TOKEN}
    with servers.temporary_home() as home:
        async with (
            python(SERVICE, "--port", str(port)),
            dev(home.parent, "--http-allow", address, **settings) as engine,
            Client(engine.running.public_api_url, "") as client,
        ):
            await eventually(lambda: assert_listening(port))
            for name in NAMES:
                await client.register(source_of(name).replace(SERVICE_ADDRESS, address))
            yield client


def assert_listening(port: int) -> None:
    with socket.socket() as asking:
        assert asking.connect_ex(("127.0.0.1", port)) == 0


def test_every_example_is_run() -> None:
    assert {each.name for each in (*CASES, *CHAPTERS)} == set(NAMES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_an_example_ends_as_it_tells(client: Client, case: Case) -> None:
    ended = await run(client, case)
    if case.error is None:
        assert (ended["status"], ended["output"]) == ("completed", case.output), ended["error"]
    else:
        assert isinstance(ended["error"], dict)
        assert (ended["status"], ended["error"]["code"]) == ("failed", case.error)
    steps = await client.steps(ended["execution_id"], min_version=ended["version"], wait=5.0)
    attempts = {step["step"]: step["attempts"] for step in steps}
    assert {name: attempts[name] for name in case.attempts} == case.attempts


async def test_the_saga_undoes_the_last_step_first(client: Client) -> None:
    ended = await run(client, Case(name="saga"))
    events = await client.events(ended["execution_id"])
    undone = [event["step"] for event in events if event["event_type"] == "compensation.completed"]
    assert undone == ["charge", "reserve"]


async def test_only_the_item_that_failed_is_tried_again(client: Client) -> None:
    ended = await run(client, Case(name="map"))
    events = await client.events(ended["execution_id"])
    tried = [event["item"] for event in events if event["event_type"] == "command.issued"]
    assert sorted(tried, key=str) == [0, 1, 1, 2, 3]


async def run(client: Client, case: Case) -> Execution:
    started = await client.start(f"examples/{case.name}", case.inputs)
    for name, data in case.signals:
        await client.signal(started["execution_id"], name, data)
    return await client.wait(started["execution_id"], seconds=30)
