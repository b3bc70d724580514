from __future__ import annotations

import asyncio
import os
import signal
import textwrap
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.eventually import eventually
from tests.support.processes import assert_gone
from tests.support.tool_contexts import Logged
from worker.tools import python as python_tool
from worker.tools.contract import ToolFailed
from worker.tools.python import PythonPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SHOP = """
    import asyncio, math, os, subprocess, sys, time

    LOADED = os.getpid()

    def add(a, b=1):
        return a + b

    async def later(value):
        await asyncio.sleep(0)
        return {"value": value, "pid": os.getpid()}

    def noise():
        print("to stdout")
        print("to stderr", file=sys.stderr)
        os.write(1, b"raw bytes \\xff\\n")
        subprocess.run(["echo", "from a child"])
        sys.stdout.write("no line end")
        return "quiet"

    def environment():
        parent = f"/proc/{os.getppid()}/environ"
        return {"own": dict(os.environ), "parent": open(parent, "rb").read().decode("latin-1")}

    def modules():
        return sorted(name for name in sys.modules if name.split(".")[0] in ("worker", "engine"))

    def fail():
        raise ValueError("no such thing")

    def leave():
        sys.exit(3)

    def crash():
        os._exit(9)

    def spin(path):
        with open(path, "w") as file:
            file.write(str(subprocess.Popen(["sleep", "300"]).pid))
        while True:
            time.sleep(0.01)

    def odd():
        return math.nan, {1, 2}

    def huge():
        return "x" * 17_000_000

    class Prices:
        @staticmethod
        def of(item):
            return item

    NUMBER = 5
"""


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[PythonPool]:
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP))
    (tmp_path / "broken.py").write_text("import no_such_dependency\n")
    pool = PythonPool([tmp_path])
    yield pool
    await pool.close()


async def _call(pool: PythonPool, name: str, **args: object) -> Any:
    return await pool.run({"call": f"shop:{name}", "args": args}, Logged().context())


async def _fails(pool: PythonPool, value: object) -> ToolFailed:
    with pytest.raises(ToolFailed) as caught:
        await pool.run(value, Logged().context())
    return caught.value


async def test_functions_plain_and_async_return_json_from_one_warm_process(pool: PythonPool) -> None:
    assert await _call(pool, "add", a=2) == 3
    assert await _call(pool, "Prices.of", item=[1]) == [1]
    first, second = await _call(pool, "later", value=1), await _call(pool, "later", value=None)
    assert second["value"] is None
    assert first["pid"] == second["pid"] != os.getpid()


async def test_calls_at_the_same_time_have_a_process_each(pool: PythonPool) -> None:
    outputs = await asyncio.gather(*(_call(pool, "later", value=n) for n in range(3)))
    assert [output["value"] for output in outputs] == [0, 1, 2]
    assert len({output["pid"] for output in outputs}) == 3


async def test_what_user_code_prints_is_logged_and_does_not_break_the_protocol(pool: PythonPool) -> None:
    for _ in range(2):
        logged = Logged()
        assert await pool.run({"call": "shop:noise"}, logged.context()) == "quiet"
        assert [line for stream, line in logged.lines if stream == "stderr"] == ["to stderr"]
        out = [line for stream, line in logged.lines if stream == "stdout"]
        assert sorted(out) == ["from a child", "no line end", "raw bytes \ufffd", "to stdout"] or (
            # User code that writes past its own buffer joins lines as it would in a terminal.
            "to stdout" in "\n".join(out) and "from a child" in out
        )


async def test_user_code_sees_no_setting_of_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYLOG_INTERNAL_API_TOKEN", "secret-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "also-secret")
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP))
    pool = PythonPool([tmp_path])
    seen = await _call(pool, "environment")
    assert await _call(pool, "modules") == []
    await pool.close()
    assert set(seen["own"]) <= {"PATH", "HOME", "LANG", "PYTHONPATH", "LC_CTYPE", "PLAYLOG_IDEMPOTENCY_KEY"}


async def test_each_call_of_a_warm_process_sees_its_own_idempotency_key(pool: PythonPool) -> None:
    for key in ("4711/pay/0/0", "order ü"):
        seen: Any = await pool.run({"call": "shop:environment"}, Logged().context(idempotency_key=key))
        assert seen["own"]["PLAYLOG_IDEMPOTENCY_KEY"] == key


async def test_an_exception_is_an_error_with_the_users_frames_only(pool: PythonPool) -> None:
    failure = await _fails(pool, {"call": "shop:fail"})
    assert (failure.code, failure.message) == ("python_error", "ValueError: no such thing")
    details: Any = failure.details
    assert len(details["traceback"]) == 2
    assert details["traceback"][0].endswith("in fail")
    assert await _call(pool, "add", a=1) == 2


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        ("shop:leave", "python_error", "SystemExit: 3"),
        ("shop:crash", "python_crashed", "ended with status 9"),
        ("broken:f", "python_error", "no_such_dependency"),
        ("shop:odd", "validation", "not JSON"),
        ("shop:huge", "output_too_large", "17000002 bytes"),
    ],
)
async def test_user_code_that_goes_wrong_has_its_code(
    pool: PythonPool, call: str, code: str, says: str
) -> None:
    failure = await _fails(pool, {"call": call})
    assert failure.code == code
    assert says in failure.message
    assert await _call(pool, "add", a=1) == 2


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "with.call: Field required"),
        ({"call": "shop"}, "with.call"),
        ({"call": "shop:add()"}, "with.call"),
        ({"call": "../shop:add"}, "with.call"),
        ({"call": "shop:add", "args": [1]}, "with.args"),
        ({"call": "shop:add", "arg": {}}, "did you mean args"),
        ({"call": "nowhere:f"}, "no module named nowhere"),
        ({"call": "nowhere.inner:f"}, "no module named nowhere"),
        ({"call": "shop:nothing"}, "shop has no function nothing"),
        ({"call": "shop:NUMBER"}, "shop has no function NUMBER"),
        ({"call": "shop:add"}, "missing a required argument: 'a'"),
        ({"call": "shop:add", "args": {"a": 1, "c": 2}}, "unexpected keyword argument 'c'"),
    ],
)
async def test_bad_input_is_named(pool: PythonPool, value: object, says: str) -> None:
    failure = await _fails(pool, value)
    assert failure.code == "validation"
    assert says in failure.message


async def test_a_cancelled_call_ends_the_process_and_its_children(pool: PythonPool, tmp_path: Path) -> None:
    before = (await _call(pool, "later", value=1))["pid"]
    task = asyncio.create_task(_call(pool, "spin", path=str(tmp_path / "child")))
    await eventually(lambda: _written(tmp_path / "child"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for pid in (before, int((tmp_path / "child").read_text())):
        await eventually(partial(assert_gone, pid))
    assert (await _call(pool, "later", value=1))["pid"] != before


async def test_a_process_that_died_while_idle_is_replaced(pool: PythonPool) -> None:
    before = (await _call(pool, "later", value=1))["pid"]
    os.kill(before, signal.SIGKILL)
    await eventually(partial(assert_gone, before))
    after = await _call_until_replaced(pool, before)
    assert after != before


async def test_an_idle_process_ends(pool: PythonPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_tool, "IDLE_SECONDS", 0.05)
    before = (await _call(pool, "later", value=1))["pid"]
    await eventually(partial(assert_gone, before))


async def _call_until_replaced(pool: PythonPool, before: int) -> int:
    async def check() -> int:
        try:
            pid: int = (await _call(pool, "later", value=1))["pid"]
        except ToolFailed as failure:
            raise AssertionError(failure.message) from failure
        assert pid != before
        return pid

    return await eventually(check)


def _written(path: Path) -> None:
    assert path.exists()
    assert path.read_text()
