from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from tests.support import internal_api_stub, workers
from tests.support.eventually import eventually
from tests.support.internal_api_stub import TOKEN
from tests.support.processes import assert_gone
from worker import metrics
from worker.commands import Command, Held, read_command
from worker.credentials import Token
from worker.heartbeat import HeartbeatThread
from worker.tools.shell import shell_tool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.internal_api_stub import InternalApiStub
    from worker.tools.contract import ToolContext


async def test_leases_are_kept_while_the_event_loop_is_blocked() -> None:
    """The API is on another thread's loop, as it is on another machine in life."""

    async def block(_value: object, _context: ToolContext) -> object:
        started = time.monotonic()
        ends = started + 0.6
        while time.monotonic() < ends:
            sum(range(1000))
        return [started, time.monotonic()]

    async with internal_api_stub.serving_in_a_thread() as stub:
        number = stub.add("block")
        async with workers.running(stub, {"block": block}, beat=0.05):
            await eventually(lambda: stub.result(number))
        started, ended = stub.result(number)["output"]
        beats = [at for at, ids in stub.beats if number in ids and started < at < ended]
    assert len(beats) >= 5


async def test_a_heartbeat_registers_an_idle_worker(stub: InternalApiStub) -> None:
    async with workers.running(stub):
        await eventually(lambda: _some(stub.bodies("/commands/heartbeat")))
    body = stub.bodies("/commands/heartbeat")[0]
    assert body == {"worker_id": "w1", "pool": "default", "slots": 4, "version": "0", "commands": []}


async def test_a_cancelled_command_is_killed_and_not_settled(stub: InternalApiStub, tmp_path: Path) -> None:
    number = stub.add("shell", {"command": "sleep 300 & echo $! > pid; wait", "cwd": str(tmp_path)})
    async with workers.running(stub, {"shell": shell_tool()}) as worker:
        await eventually(lambda: _some((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
        stub.cancel(number)
        await eventually(lambda: _none(len(worker.held)))
        assert_gone(int((tmp_path / "pid").read_text()))
    assert stub.bodies("/commands/settle") == []


async def test_a_lost_command_frees_its_slot(stub: InternalApiStub) -> None:
    started = asyncio.Event()

    async def hang(value: object, _context: ToolContext) -> object:
        started.set()
        await asyncio.sleep(300 if value else 0)
        return None

    number, other = stub.add("hang", value=True), stub.add("hang")
    async with workers.running(stub, {"hang": hang}, slots=1):
        await started.wait()
        stub.take_away(number)
        await eventually(lambda: stub.result(other))
    assert stub.commands[number].state == "claimed"


async def test_a_command_that_was_claimed_anew_during_a_beat_goes_on(stub: InternalApiStub) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_value: object, _context: ToolContext) -> object:
        started.set()
        await go_on.wait()
        return "done"

    number = stub.add("wait")
    async with workers.running(stub, {"wait": wait}) as worker:
        await started.wait()
        (command,) = worker.held.snapshot()
        earlier = replace(command, lease_token="1")
        worker.loop.give_up([earlier], [earlier])
        go_on.set()
        await eventually(lambda: stub.result(number))
    assert stub.result(number)["output"] == "done"


async def test_a_beat_tells_of_the_leases_that_were_asked_for(stub: InternalApiStub) -> None:
    class HeldAnew(Held):
        """A command is released and claimed again between the question and its answer."""

        def snapshot(self) -> list[Command]:
            asked = super().snapshot()
            for command in asked:
                self.add(replace(command, lease_token="2"))
            return asked

    command: dict[str, object] = {
        "command_id": stub.add("hang"),
        "lease_token": "1",
        "execution_id": "1",
        "tool": "hang",
    }
    held, told = HeldAnew(), asyncio.get_running_loop().create_future()
    held.add(read_command(command, time.monotonic()))
    call = asyncio.get_running_loop().call_soon_threadsafe
    heartbeat = HeartbeatThread(
        stub.url,
        Token(value=TOKEN),
        identity={"worker_id": "w1"},
        held=held,
        on_answer=lambda _, lost: call(told.set_result, lost),
        interval=100.0,
    )
    heartbeat.start()
    (lost,) = await asyncio.wait_for(told, 10)
    heartbeat.stop()
    await asyncio.to_thread(heartbeat.join)
    assert lost.lease_token == "1"
    assert not held.has(lost)


async def test_a_heartbeat_that_fails_is_repeated_soon(stub: InternalApiStub) -> None:
    stub.fail_next("/commands/heartbeat", internal_api_stub.Fault(status=503))
    async with workers.running(stub, beat=100.0):
        await eventually(lambda: _some(len(stub.bodies("/commands/heartbeat")) == 2))


async def test_failures_in_a_row_are_counted_each_and_told_once(stub: InternalApiStub) -> None:
    before = metrics.heartbeat_failures._value.get()
    for _ in range(5):
        stub.fail_next("/commands/heartbeat", internal_api_stub.Fault(status=503))
    with capture_logs() as logs:
        async with workers.running(stub, beat=0.01):
            await eventually(lambda: _some(len(stub.beats) > 1))
    told = [(log["event"], log["failures"]) for log in logs if "failures" in log]
    assert told == [("worker.heartbeat_failed", 1), ("worker.heartbeat_answered", 5)]
    assert metrics.heartbeat_failures._value.get() == before + 5


def _some(value: object) -> None:
    assert value


def _none(value: object) -> None:
    assert not value
