from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.processes import assert_gone
from tests.support.tool_contexts import Logged
from worker.tools.contract import ToolFailed
from worker.tools.shell import STREAM_LIMIT, shell_tool

run = shell_tool()


async def _run(value: object) -> Any:
    return await run(value, Logged().context())


async def _fails(value: object) -> ToolFailed:
    with pytest.raises(ToolFailed) as caught:
        await _run(value)
    return caught.value


async def test_a_script_sees_values_as_arguments_environment_and_stdin() -> None:
    value = {
        "command": 'printf "%s|%s|%s|" "$1" "$2" "$NAME"; cat',
        "args": ["a b; echo no", 7],
        "env": {"NAME": "$(id)"},
        "stdin": {"k": [1]},
    }
    output = await _run(value)
    assert output == {
        "exit_code": 0,
        "stdout": 'a b; echo no|7|$(id)|{"k":[1]}',
        "stderr": "",
        "truncated": False,
    }


async def test_an_argument_list_meets_no_shell() -> None:
    output = await _run({"command": ["echo", "$HOME `id` ${ inputs.x }"]})
    assert output["stdout"] == "$HOME `id` ${ inputs.x }\n"


async def test_what_it_prints_is_logged_by_line() -> None:
    logged = Logged()
    await run({"command": "echo one; echo two >&2"}, logged.context())
    assert sorted(logged.lines) == [("stderr", "two"), ("stdout", "one")]


async def test_user_code_sees_no_setting_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_INTERNAL_API_TOKEN", "secret-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "also-secret")
    output = await _run({"command": "env"})
    names = {line.partition("=")[0] for line in output["stdout"].splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "PWD", "SHLVL", "_", "OLDPWD", "PLAYLOG_IDEMPOTENCY_KEY"}


async def test_a_script_sees_the_idempotency_key_of_its_attempt() -> None:
    wanted = {"command": 'printf %s "$PLAYLOG_IDEMPOTENCY_KEY"'}
    output: Any = await run(wanted, Logged().context(idempotency_key="order ü/7"))
    assert output["stdout"] == "order ü/7"


async def test_a_nonzero_exit_fails_with_its_status_and_last_words() -> None:
    failure = await _fails({"command": "echo out; echo first >&2; echo last >&2; exit 3"})
    assert (failure.code, failure.status, failure.message) == ("exit_status", 3, "exit status 3: last")
    assert failure.details == {"stdout": "out\n", "stderr": "first\nlast\n"}
    assert (await _fails({"command": "kill -9 $$"})).status == 137


async def test_long_output_is_cut_and_says_so() -> None:
    output = await _run({"command": "head -c 3000000 /dev/zero | tr '\\0' x"})
    assert len(output["stdout"]) == STREAM_LIMIT
    assert output["truncated"] is True


async def test_a_child_left_behind_does_not_keep_the_step_open() -> None:
    output = await asyncio.wait_for(_run({"command": "sleep 300 & echo $!"}), 5)
    await eventually(partial(assert_gone, int(output["stdout"])))


async def test_a_cancelled_command_ends_with_its_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = "sleep 300 & echo $! >> pids; sleep 300 & echo $! >> pids; wait"
    task = asyncio.create_task(_run({"command": script, "cwd": str(tmp_path)}))
    await eventually(lambda: _lines(pids, 2))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for pid in pids.read_text().split():
        await eventually(partial(assert_gone, int(pid)))


async def test_a_command_that_closes_its_stdin_early_is_no_error() -> None:
    output = await _run({"command": "exec <&-; echo done", "stdin": "x" * 1_000_000})
    assert output["stdout"] == "done\n"


def _lines(path: Path, count: int) -> None:
    assert path.exists()
    assert len(path.read_text().split()) == count


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "with.command: Field required"),
        ({"command": ""}, "with.command"),
        ({"command": []}, "with.command"),
        ({"command": ["a", 1]}, "with.command"),
        ({"command": ["a"], "args": ["b"]}, "add them to the command list"),
        ({"command": "x", "args": "b"}, "with.args"),
        ({"command": "x", "env": {"A=B": "c"}}, "a name is empty or holds"),
        ({"command": "x", "args": ["a\x00b"]}, "NUL"),
        ({"command": "x", "cwd": "/no/such/place"}, "cannot start"),
        ({"command": ["/no/such/program"]}, "cannot start /no/such/program"),
        ({"command": "x", "comand": "y"}, "did you mean command"),
        ({"command": "x", "stdin": os}, "with.stdin"),
    ],
)
async def test_bad_input_is_named(value: object, says: str) -> None:
    failure = await _fails(value)
    assert failure.code == "validation"
    assert says in failure.message
