from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def running(what: str, tmp_path: Path, **settings: str) -> AsyncIterator[Process]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PLAYLOG_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.small_process",
        what,
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(ROOT), "PLAYLOG_HEALTH_PORT": "0", **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ended(process: Process) -> tuple[int | None, str, list[str]]:
    """The exit code, what was left on stdout, and the lines of stderr."""
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode().splitlines()


async def begun(process: Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"begun\n"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_pass_under_way_end_and_exits_0(tmp_path: Path, sign: signal.Signals) -> None:
    async with running("draining", tmp_path) as process:
        await begun(process)
        process.send_signal(sign)
        code, out, err = await ended(process)
    assert (code, out) == (0, "ended\n")
    assert [json.loads(line)["event"] for line in err] == [
        "process.started",
        "process.signal",
        "process.ended",
    ]


async def test_work_that_does_not_drain_in_the_grace_is_cancelled_and_exits_1(tmp_path: Path) -> None:
    async with running("stubborn", tmp_path, PLAYLOG_GRACE_SECONDS="0.1") as process:
        await begun(process)
        process.send_signal(signal.SIGTERM)
        code, _, err = await ended(process)
    assert code == 1
    assert json.loads(err[-1])["event"] == "process.not_drained"


async def test_a_second_signal_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    async with running("stubborn", tmp_path) as process:
        await begun(process)
        assert process.stderr is not None
        await process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert b"process.signal" in await process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        code, _, _ = await ended(process)
    assert code == 1


async def test_a_signal_ends_a_process_that_still_waits_for_its_database_at_once(tmp_path: Path) -> None:
    async with running("waiting", tmp_path, PLAYLOG_GRACE_SECONDS="600") as process:
        await begun(process)
        process.send_signal(signal.SIGTERM)
        code, _, err = await ended(process)
    assert code == 0
    assert json.loads(err[-1])["event"] == "process.ended"


async def test_wrong_settings_are_told_in_plain_words_and_exit_2(tmp_path: Path) -> None:
    async with running("draining", tmp_path, PLAYLOG_SLOTS="many", PLAYLOG_POL="x") as process:
        code, _, err = await ended(process)
    assert code == 2
    assert err == [
        "playlog small: 2 settings are wrong:",
        "  PLAYLOG_POL: no such setting; did you mean PLAYLOG_POOL?",
        "  PLAYLOG_SLOTS: input should be a valid integer, unable to parse string as an integer",
    ]


async def test_a_misconfiguration_found_inside_a_task_exits_2(tmp_path: Path) -> None:
    async with running("misconfigured", tmp_path) as process:
        code, _, err = await ended(process)
    assert code == 2
    assert err[-1] == "playlog small: PLAYLOG_POOL: no such pool"


async def test_a_failure_is_logged_and_exits_1(tmp_path: Path) -> None:
    async with running("failing", tmp_path) as process:
        code, _, err = await ended(process)
    assert code == 1
    assert "Unavailable" in json.loads(err[-1])["exception"]


async def test_a_health_port_in_use_is_a_misconfiguration(tmp_path: Path) -> None:
    async with running("stubborn", tmp_path, PLAYLOG_HEALTH_HOST="127.0.0.1") as first:
        assert first.stderr is not None
        port = json.loads(await first.stderr.readline())["health_port"]
        async with running(
            "draining", tmp_path, PLAYLOG_HEALTH_HOST="127.0.0.1", PLAYLOG_HEALTH_PORT=str(port)
        ) as second:
            code, _, err = await ended(second)
    assert code == 2
    assert err[0].startswith(f"playlog small: PLAYLOG_HEALTH_PORT: cannot listen on 127.0.0.1:{port}")


async def test_a_process_that_drains_is_not_ready(tmp_path: Path) -> None:
    async with running("stubborn", tmp_path) as process, aiohttp.ClientSession() as session:
        await begun(process)
        assert process.stderr is not None
        port = json.loads(await process.stderr.readline())["health_port"]
        process.send_signal(signal.SIGTERM)
        assert b"process.signal" in await process.stderr.readline()
        async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
            assert (await response.json())["checks"] == {"process": {"ok": False, "why": "stopping"}}


async def test_the_health_routes_know_the_loops(tmp_path: Path) -> None:
    async with running("draining", tmp_path) as process:
        await begun(process)
        assert process.stderr is not None
        port = json.loads(await process.stderr.readline())["health_port"]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/readyz") as response,
        ):
            assert (await response.json())["checks"] == {"loop counting": {"ok": True}}
