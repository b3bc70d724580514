"""`playlog dev` with PLAYLOG_NATS_URL=memory: the same engine in one process, and no broker."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.installation import installed
from playlog.answers import Execution
from playlog.cli.dev import record
from playlog.client import Client
from tests.support import servers
from tests.support.command_line import Dev, dev
from tests.support.faults import all_ended, kill, one_story
from tests.support.load import Load, more_is_acknowledged

HELLO = Path(__file__).parents[2] / "playbooks" / "examples" / "hello.yaml"
TOKEN = "a-token-that-nobody-may-find"
SETTINGS = {"PLAYLOG_NATS_URL": "memory", "PLAYLOG_INTERNAL_API_TOKEN": TOKEN}
PRYING = """
playbook: e2e/prying
steps:
  - name: pry
    tool: shell
    with: {command: "env; tr '\\\\0' '\\\\n' < /proc/$PPID/environ || echo refused"}
output: "${ steps.pry.output.stdout }"
"""
EXECUTIONS = 60
WAITING = """
playbook: chaos/waiting
inputs: {n: {type: integer}}
steps:
  - {name: first, wait: {for: 300ms}}
  - {name: second, wait: {for: 300ms}}
  - {name: third, wait: {for: 300ms}}
output: "${ {'n': inputs.n, 'said': string(inputs.n) + '\\\\n'} }"
"""
"""Commands would be in the way: one that a killed worker held waits for its lease."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a project, where the servers' account can reach it."""
    with servers.temporary_home() as home:
        yield home.parent


async def test_one_process_does_all_leaves_nothing_and_knows_the_execution_again(folder: Path) -> None:
    async with dev(folder, **SETTINGS) as first, client_of(first) as client:
        assert list(first.running.pids) == ["standalone"]
        assert not {"nats-server", "nats"} & {psutil.Process(pid).name() for pid in first.descendants()}
        execution = await played(client, HELLO.read_text())
        assert execution["output"] == {"greeting": "Hello, world!"}
        seen = str((await played(client, PRYING))["output"])
        assert "PATH=" in seen
        assert [line for line in seen.splitlines() if TOKEN in line or "postgresql://" in line] == []
        assert await first.end(signal.SIGINT) == 0
        assert "process.ended" in first.printed()
        assert first.printed().endswith("stopped\n")
    assert record.read(folder / record.HOME) is None
    async with dev(folder, **SETTINGS) as second, client_of(second) as client:
        assert await client.get(execution["execution_id"]) == execution
        assert (await played(client, HELLO.read_text()))["status"] == "completed"
        assert "stream.lost" not in second.printed()
        assert await second.end(signal.SIGTERM) == 0


def client_of(running: Dev) -> Client:
    return Client(running.running.public_api_url, "")


async def played(client: Client, source: str) -> Execution:
    """An execution of a playbook at its end."""
    registered = await client.register(source)
    started = await client.start(registered["path"])
    return await client.wait(started["execution_id"], seconds=30)


async def test_kill_9_in_the_middle_of_work_loses_nothing() -> None:
    async with installed("memory") as installation:
        load = Load(installation.client, source=WAITING, path="chaos/waiting")
        starting = asyncio.create_task(load.start(range(EXECUTIONS)))
        for _ in range(2):
            await more_is_acknowledged(load, EXECUTIONS)
            await kill(installation, "standalone")
        await starting
        await all_ended(installation, load, 30)
        await one_story(installation, load)
