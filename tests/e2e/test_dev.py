"""`playlog dev` runs everything, keeps it running, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from playlog.cli.dev import record
from playlog.cli.dev.layout import PACKAGES
from playlog.client import Client
from playlog.problems import ApiError
from tests.support import servers
from tests.support.command_line import Dev, dev, playlog
from tests.support.eventually import eventually

HELLO = Path(__file__).parents[2] / "playbooks" / "examples" / "hello.yaml"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a project, where the servers' account can reach it."""
    with servers.temporary_home() as home:
        yield home.parent


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Dev]:
    """One engine for the tests that do not end it."""
    with servers.temporary_home() as home:
        async with dev(home.parent) as running:
            yield running


async def test_a_file_is_run_and_watched_to_its_end(engine: Dev) -> None:
    done = await playlog("run", HELLO, "--watch", "--input", "name=Ada", folder=engine.folder)
    assert (done.status, done.errors) == (0, "")
    assert re.search(r"step\.completed +greet", done.output)
    assert done.output.endswith('output     {"greeting":"Hello, Ada!"}\n')
    assert max(map(len, done.output.splitlines())) <= 80


async def test_the_python_client_starts_follows_and_cancels(engine: Dev) -> None:
    async with Client(engine.running.public_api_url, "") as client:
        await client.register(HELLO.read_text())
        started = await client.start("examples/hello", {"name": "Ada"}, labels={"from": "client"})
        ended = await client.wait(started["execution_id"], seconds=30)
        assert ended["output"] == {"greeting": "Hello, Ada!"}
        seen = [event async for event in client.stream(started["execution_id"])]
        assert [event["version"] for event in seen] == list(range(1, ended["version"] + 1))
        page = await client.list(label="from=client")
        assert [each["execution_id"] for each in page["items"]] == [started["execution_id"]]
        with pytest.raises(ApiError) as caught:
            await client.cancel(started["execution_id"], "too late")
        assert caught.value.status == 409


async def test_json_output_is_one_document(engine: Dev) -> None:
    done = await playlog("run", HELLO, "--watch", "--output", "json", folder=engine.folder)
    assert done.status == 0
    assert json.loads(done.output)["output"] == {"greeting": "Hello, world!"}


async def test_an_execution_that_fails_is_exit_code_1(engine: Dev) -> None:
    (engine.folder / "fails.yaml").write_text(
        "playbook: e2e/fails\nsteps:\n  - name: only\n    tool: shell\n    with: {command: [/bin/false]}\n"
    )
    done = await playlog("run", "fails.yaml", "--watch", folder=engine.folder)
    assert done.status == 1
    assert "error      exit_status" in done.output


async def test_a_signal_ends_a_wait_that_watching_gave_up_on(engine: Dev) -> None:
    (engine.folder / "waits.yaml").write_text(
        "playbook: e2e/waits\nsteps:\n  - name: hold\n    wait: {event: go, timeout: 1h}\n"
    )
    late = await playlog("run", "waits.yaml", "--timeout", "1", "--key", "waits-1", folder=engine.folder)
    assert late.status == 124
    again = await playlog("run", "waits.yaml", "--key", "waits-1", "-o", "json", folder=engine.folder)
    execution_id = json.loads(again.output)["execution_id"]
    assert execution_id in late.errors
    shown = await playlog("get", execution_id, folder=engine.folder)
    assert "hold: waits for the signal go, since" in shown.output
    sent = await playlog("signal", execution_id, "go", '{"by": "me"}', folder=engine.folder)
    assert sent.status == 0
    steps = await playlog("steps", execution_id, folder=engine.folder)
    assert "completed" in steps.output


async def test_refusals_have_exit_codes_and_one_line(engine: Dev) -> None:
    for arguments, status, words in (
        (("get", "1"), 3, "there is no execution 1"),
        (("run", "not/there"), 3, "register it with `playlog register FILE`"),
        (("run", str(HELLO), "-i", "nam=x"), 2, "nam"),
        (("list", "--status", "odd"), 2, "status is one of"),
    ):
        done = await playlog(*arguments, folder=engine.folder)
        assert (done.status, done.errors.count("\n")) == (status, 1), done.errors
        assert words in done.errors


async def test_a_second_one_in_the_same_folder_is_refused(engine: Dev) -> None:
    done = await playlog("dev", folder=engine.folder)
    assert done.status == 5
    assert f"another playlog (process {engine.process.pid}) uses {engine.folder}/.playlog" in done.errors


async def test_a_process_that_dies_is_started_again_and_the_work_goes_on(engine: Dev) -> None:
    victims = ("worker", "internal-api", "projector")
    for name in victims:
        os.kill(engine.running.pids[name], signal.SIGKILL)

    def all_anew() -> None:
        now = record.read(engine.folder / record.HOME)
        assert now is not None
        assert set(now.pids) == set(PACKAGES)
        assert all(now.pids[name] != engine.running.pids[name] for name in victims)

    await eventually(all_anew, timeout=30)
    for name in victims:
        assert f"{name} was ended by SIGKILL; it starts again in 0.5 s" in engine.printed()
    done = await playlog("run", HELLO, "--watch", folder=engine.folder)
    assert done.status == 0


async def test_every_process_is_ready_and_has_metrics(engine: Dev) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:

        async def text(url: str) -> str:
            async with session.get(url) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.text()

        for url in engine.running.health_urls.values():
            await eventually(partial(text, f"{url}/readyz"), timeout=20)
            assert "playlog_" in await text(f"{url}/metrics")


async def test_ctrl_c_leaves_no_process_and_the_next_start_knows_the_execution(folder: Path) -> None:
    async with dev(folder) as first:
        done = await playlog("run", HELLO, "--watch", "-o", "json", folder=folder)
        execution = json.loads(done.output)
        assert await first.end(signal.SIGINT) == 0
        assert first.printed().endswith("stopped\n")
    assert record.read(folder / record.HOME) is None
    async with dev(folder) as second:
        found = await playlog("get", execution["execution_id"], "-o", "json", folder=folder)
        assert json.loads(found.output) == execution
        assert await second.end(signal.SIGTERM) == 0


async def test_kill_9_leaves_no_process_and_the_next_start_knows_the_execution(folder: Path) -> None:
    async with dev(folder) as first:
        done = await playlog("run", HELLO, "--watch", "-o", "json", folder=folder)
        execution = json.loads(done.output)
        assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    async with dev(folder):
        found = await playlog("get", execution["execution_id"], "-o", "json", folder=folder)
        assert json.loads(found.output) == execution
