from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support import workers
from tests.support.eventually import eventually
from tests.support.internal_api_stub import Body, Fault, InternalApiStub, StubCommand
from tests.support.processes import assert_gone
from worker.tools.contract import ToolContext, ToolFailed
from worker.tools.python import PythonPool
from worker.tools.shell import shell_tool

if TYPE_CHECKING:
    from pathlib import Path

    from worker.tools.contract import Tool


class Gate:
    """A tool that holds its slot until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.running = 0
        self.peak = 0

    async def run(self, _value: object, _context: ToolContext) -> object:
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await self.opened.wait()
        finally:
            self.running -= 1
        return {"done": True}


async def test_no_more_commands_are_held_than_slots(stub: InternalApiStub) -> None:
    gate = Gate()
    ids = [stub.add("gate") for _ in range(20)]
    async with workers.running(stub, {"gate": gate.run}, slots=4):
        await eventually(lambda: _equal(gate.running, 4))
        gate.opened.set()
        await eventually(lambda: _equal(stub.settled(), 20))
    assert gate.peak == 4
    assert stub.peak == 4
    assert stub.result(ids[0])["output"] == {"done": True}


async def test_short_commands_are_claimed_ahead_but_bounded(stub: InternalApiStub) -> None:
    async def brief(_value: object, _context: ToolContext) -> object:
        await asyncio.sleep(0)
        return None

    for _ in range(200):
        stub.add("brief")
    async with workers.running(stub, {"brief": brief}, slots=4, prefetch=3):
        await eventually(lambda: _equal(stub.settled(), 200))
    assert 4 < stub.peak <= 7


async def test_a_command_claimed_ahead_that_finds_no_slot_is_handed_back(stub: InternalApiStub) -> None:
    gate = Gate()
    first = [stub.add("noop"), *(stub.add("gate") for _ in range(5))]
    async with workers.running(stub, {"gate": gate.run}, slots=2, prefetch=3):
        await eventually(lambda: _equal(len(stub.bodies("/commands/release")), 1))
        assert stub.commands[first[0]].state == "settled"
        assert gate.running == 2
        gate.opened.set()


async def test_a_busy_worker_settles_and_claims_in_one_request(stub: InternalApiStub) -> None:
    def next_step(command: StubCommand) -> None:
        if command.row["attempt"] < 30:
            stub.add("noop", attempt=command.row["attempt"] + 1)

    stub.on_settled = next_step
    async with workers.running(stub):
        await eventually(lambda: _equal(len(stub.bodies("/commands/claim")), 1))
        stub.add("noop")
        await eventually(lambda: _equal(stub.settled(), 30))
        assert len(stub.bodies("/commands/settle")) == 30
        assert len(stub.bodies("/commands/claim")) <= 2
    assert all(body["claim"] == {"pool": "default", "limit": 4} for body in stub.bodies("/commands/settle"))


async def test_results_that_queue_during_a_request_go_out_together(stub: InternalApiStub) -> None:
    gate = Gate()
    stub.settle_gate.clear()
    for _ in range(5):
        stub.add("gate")
    stub.add("noop")
    async with workers.running(stub, {"gate": gate.run}, slots=6):
        await eventually(lambda: _equal(len(stub.bodies("/commands/settle")), 1))
        gate.opened.set()
        await eventually(lambda: _equal(gate.running, 0))
        stub.settle_gate.set()
        await eventually(lambda: _equal(stub.settled(), 6))
    assert [len(body["results"]) for body in stub.bodies("/commands/settle")] == [1, 5]


async def test_a_lost_answer_is_repeated_with_the_same_results(stub: InternalApiStub) -> None:
    stub.fail_next("/commands/settle", Fault(lose=True))
    stub.fail_next("/commands/settle", Fault(lose=True))
    number = stub.add("noop")
    async with workers.running(stub) as worker:
        await eventually(lambda: _equal(len(stub.bodies("/commands/settle")), 3))
        await eventually(lambda: _equal(len(worker.held), 0))
    bodies = stub.bodies("/commands/settle")
    assert bodies[0]["results"] == bodies[1]["results"] == bodies[2]["results"]
    assert stub.result(number)["status"] == "completed"


async def test_an_api_that_is_away_is_asked_again_not_before_it_said(stub: InternalApiStub) -> None:
    stub.fail_next("/commands/settle", Fault(status=503, headers={"Retry-After": "1"}))
    stub.fail_next("/commands/claim", Fault(status=500))
    stub.fail_next("/commands/claim", Fault(status=403))
    stub.add("noop")
    started = asyncio.get_running_loop().time()
    async with workers.running(stub):
        await eventually(lambda: _equal(stub.settled(), 1))
    assert asyncio.get_running_loop().time() - started >= 1.0


async def test_a_result_the_api_rejects_is_dropped_and_hurts_no_other(stub: InternalApiStub) -> None:
    gate = Gate()
    stale, good = stub.add("gate"), stub.add("gate")
    async with workers.running(stub, {"gate": gate.run}, beat=100.0) as worker:
        await eventually(lambda: _equal(gate.running, 2))
        stub.take_away(stale)
        gate.opened.set()
        await eventually(lambda: _equal(len(worker.held), 0))
    assert stub.result(good)["status"] == "completed"
    assert stub.commands[stale].state == "claimed"


async def test_an_output_the_log_cannot_store_fails_the_attempt(stub: InternalApiStub) -> None:
    deep, large = stub.add("noop"), stub.add("noop")
    stub.unstorable = {deep: "bad_text", large: "too_large"}
    async with workers.running(stub) as worker:
        await eventually(lambda: _equal(stub.settled(), 2))
        await eventually(lambda: _equal(len(worker.held), 0))
    assert stub.result(deep)["error"]["code"] == "validation"
    assert stub.result(large)["error"]["code"] == "output_too_large"


async def test_a_refused_request_is_taken_apart_until_the_culprit_is_alone(stub: InternalApiStub) -> None:
    gate = Gate()
    stub.settle_gate.clear()
    ids = [stub.add("gate") for _ in range(3)]
    stub.add("noop")
    async with workers.running(stub, {"gate": gate.run}) as worker:
        await eventually(lambda: _equal(len(stub.bodies("/commands/settle")), 1))
        gate.opened.set()
        await eventually(lambda: _equal(gate.running, 0))
        for _ in range(3):
            # With the claim, without it, the first half: a single result.
            stub.fail_next("/commands/settle", Fault(status=413))
        stub.settle_gate.set()
        await eventually(lambda: _equal(len(worker.held), 0))
    assert stub.result(ids[0])["error"]["code"] == "output_too_large"
    assert [stub.result(number)["status"] for number in ids[1:]] == ["completed", "completed"]


async def test_an_attempt_ends_at_its_time_limit(stub: InternalApiStub) -> None:
    gate = Gate()
    by_seconds = stub.add("gate", timeout_seconds=0.1)
    by_deadline = stub.add("gate", timeout_seconds=None, deadline="2020-01-01T00:00:00.000000Z")
    async with workers.running(stub, {"gate": gate.run}):
        await eventually(lambda: _equal(stub.settled(), 2))
        assert gate.running == 0
    for number in (by_seconds, by_deadline):
        assert stub.result(number)["status"] == "failed"
        assert stub.result(number)["error"]["code"] == "timeout"


async def test_a_time_limit_kills_the_process_group(stub: InternalApiStub, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import subprocess, time\n"
        "def hang(path):\n"
        "    open(path, 'w').write(str(subprocess.Popen(['sleep', '300']).pid))\n"
        "    time.sleep(300)\n"
    )
    python = PythonPool([tmp_path])
    script = {"command": "sleep 300 & echo $! > shell.pid; wait", "cwd": str(tmp_path)}
    call = {"call": "slow:hang", "args": {"path": str(tmp_path / "python.pid")}}
    numbers = [stub.add("shell", script, timeout_seconds=1), stub.add("python", call, timeout_seconds=1)]
    async with workers.running(stub, {"shell": shell_tool(), "python": python.run}):
        await eventually(lambda: _equal(stub.settled(), 2))
    await python.close()
    assert [stub.result(number)["error"]["code"] for number in numbers] == ["timeout", "timeout"]
    for file in ("shell.pid", "python.pid"):
        await eventually(partial(assert_gone, int((tmp_path / file).read_text())))


def _failing(error: Exception) -> Tool:
    async def run(_value: object, _context: ToolContext) -> object:
        raise error

    return run


@pytest.mark.parametrize(
    ("tool", "error"),
    [
        (
            _failing(ToolFailed("http_status", "no", status=503, details={"body": "x"})),
            {"code": "http_status", "message": "no", "status": 503, "details": {"body": "x"}},
        ),
        (_failing(TimeoutError()), {"code": "internal_error", "message": "the tool broke: TimeoutError()"}),
        (_failing(ToolFailed("a", "\ud800")), {"code": "a", "message": "?"}),
    ],
)
async def test_a_failure_becomes_an_error(stub: InternalApiStub, tool: Tool, error: object) -> None:
    number = stub.add("tool")
    async with workers.running(stub, {"tool": tool}):
        await eventually(lambda: stub.result(number))
    assert stub.result(number)["error"] == error
    assert stub.result(number)["started_at"].endswith("Z")


async def test_an_output_that_is_not_json_fails(stub: InternalApiStub) -> None:
    async def odd(_value: object, _context: ToolContext) -> object:
        return {1, 2}

    number = stub.add("odd")
    async with workers.running(stub, {"odd": odd}):
        await eventually(lambda: stub.result(number))
    assert stub.result(number)["error"]["code"] == "validation"


async def test_an_unknown_tool_names_the_known_ones(stub: InternalApiStub) -> None:
    number = stub.add("nop")
    async with workers.running(stub):
        await eventually(lambda: stub.result(number))
    error = stub.result(number)["error"]
    assert error == {"code": "validation", "message": "this worker has no tool 'nop', only noop"}


async def test_a_row_that_cannot_be_read_hurts_no_other(stub: InternalApiStub) -> None:
    stub.add("noop", command_id=None)
    good = stub.add("noop")
    async with workers.running(stub):
        await eventually(lambda: stub.result(good))


async def test_ids_are_kept_as_the_api_wrote_them(stub: InternalApiStub) -> None:
    async def refuse(_value: object, _context: ToolContext) -> object:
        raise ToolFailed("x", "y")

    stub.add("tool", execution_id=5)
    async with workers.running(stub, {"tool": refuse}):
        await eventually(lambda: _equal(stub.settled(), 1))
    assert stub.bodies("/commands/settle")[0]["results"][0]["command_id"] == "1"


async def test_log_lines_are_shipped_while_the_tool_runs(stub: InternalApiStub) -> None:
    gate = Gate()

    async def talk(value: object, context: ToolContext) -> object:
        context.log("stderr", "begun")
        return await gate.run(value, context)

    number = stub.add("tool")
    async with workers.running(stub, {"tool": talk}):
        line = await eventually(lambda: _found(stub.lines, number))
        gate.opened.set()
    assert (line["stream"], line["line"], line["attempt"]) == ("stderr", "begun", 1)


async def test_what_a_tool_prints_is_shipped_in_order(stub: InternalApiStub) -> None:
    async def talk(_value: object, context: ToolContext) -> object:
        for number in range(3):
            context.log("stdout", f"line {number}")
        return None

    stub.fail_next("/logs", Fault(lose=True))
    number = stub.add("tool")
    async with workers.running(stub, {"tool": talk}):
        await eventually(lambda: stub.result(number))
    lines = [stub.lines[number, seq] for seq in (1, 2, 3)]
    assert [line["line"] for line in lines] == ["line 0", "line 1", "line 2"]
    assert {line["execution_id"] for line in lines} == {"77"}


def _found(lines: dict[tuple[str, int], Body], number: str) -> Body:
    assert (number, 1) in lines
    return lines[number, 1]


def _equal(left: object, right: object) -> None:
    assert left == right
