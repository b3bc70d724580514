from __future__ import annotations

import asyncio
import signal
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.eventually import eventually
from tests.support.internal_api_stub import TOKEN, Fault, InternalApiStub
from tests.support.processes import assert_gone
from tests.support.worker_process import worker_process

if TYPE_CHECKING:
    pass


async def test_sigterm_finishes_what_runs_and_hands_back_the_rest(
    stub: InternalApiStub, tmp_path: Path
) -> None:
    (tmp_path / "tasks.py").write_text(
        "import time\ndef nap(seconds):\n    time.sleep(seconds)\n    return 1\n"
    )
    brief = stub.add("python", {"call": "tasks:nap", "args": {"seconds": 1}})
    script = "echo $$ > pid; sleep 300"
    endless = stub.add("shell", {"command": script, "cwd": str(tmp_path)})
    settings = {
        "internal_api_url": stub.url,
        "internal_api_token": TOKEN,
        "slots": 2,
        "tasks_path": tmp_path,
        "grace_seconds": 3,
    }
    async with worker_process(tmp_path, **settings) as process:
        await eventually(lambda: _exists(tmp_path / "pid"))
        process.send_signal(signal.SIGTERM)
        late = stub.add("noop")
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert stub.result(brief)["output"] == 1
    assert stub.commands[endless].state == "queued"
    assert stub.commands[late].state == "queued"
    assert_gone(int((tmp_path / "pid").read_text()))


async def test_sigterm_ends_an_idle_worker_at_once(stub: InternalApiStub, tmp_path: Path) -> None:
    async with worker_process(tmp_path, internal_api_url=stub.url, internal_api_token=TOKEN) as process:
        await eventually(lambda: _some(stub.bodies("/commands/claim")))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_a_worker_whose_api_is_away_still_ends_in_its_grace(
    stub: InternalApiStub, tmp_path: Path
) -> None:
    for _ in range(100):
        stub.fail_next("/commands/settle", Fault(status=503))
    stub.add("noop")
    settings = {"internal_api_url": stub.url, "internal_api_token": TOKEN, "grace_seconds": 2}
    async with worker_process(tmp_path, **settings) as process:
        await eventually(lambda: _some(stub.bodies("/commands/settle")))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_user_code_finds_tokens_and_secrets_nowhere(stub: InternalApiStub, tmp_path: Path) -> None:
    source = """
        import os
        def look():
            with open(f"/proc/{os.getppid()}/environ", "rb") as file:
                return {"own": sorted(os.environ), "parent": file.read().decode("latin-1")}
    """
    (tmp_path / "tasks.py").write_text(textwrap.dedent(source))
    script = "env; tr '\\0' '\\n' < /proc/$PPID/environ; cat /proc/$PPID/cmdline"
    shell, python = stub.add("shell", {"command": script}), stub.add("python", {"call": "tasks:look"})
    settings = {"internal_api_url": stub.url, "internal_api_token": TOKEN, "tasks_path": tmp_path}
    secrets = {"secret_shop": "hunter22", "api_token": "hunter23"}
    async with worker_process(tmp_path, **settings, **secrets):
        await eventually(lambda: (stub.result(shell), stub.result(python)))
    seen: dict[str, Any] = {"shell": stub.result(shell), "python": stub.result(python)}
    assert [value for value in (TOKEN, *secrets.values()) if value in str(seen)] == []
    if seen["python"]["status"] == "completed":
        output = seen["python"]["output"]
        # The block is readable for root only; the token in it is overwritten all the same.
        assert "PLAYLOG_INTERNAL_API_TOKEN=*" in output["parent"]
        assert "PLAYLOG_SECRET_SHOP=*" in output["parent"]
        own = {"PATH", "HOME", "LANG", "PYTHONPATH", "LC_CTYPE", "PLAYLOG_IDEMPOTENCY_KEY"}
        assert set(output["own"]) <= own
    else:
        assert "PermissionError" in seen["python"]["error"]["message"]


async def test_the_http_tool_reaches_only_what_the_setting_allows(
    stub: InternalApiStub, tmp_path: Path
) -> None:
    address = stub.url.removeprefix("http://")
    value = {"method": "POST", "url": f"{stub.url}/api/internal/logs", "body": {}, "expect": 403}
    allowed = stub.add("http", value)
    refused = stub.add("http", {"url": "http://127.0.0.1:1/"})
    settings = {"internal_api_url": stub.url, "internal_api_token": TOKEN, "http_allow": address}
    async with worker_process(tmp_path, **settings):
        await eventually(lambda: (stub.result(allowed), stub.result(refused)))
    assert stub.result(allowed)["output"]["body"] == {"code": "forbidden"}
    assert stub.result(refused)["error"]["code"] == "not_allowed"


async def test_the_token_file_is_read_again_when_it_changes(stub: InternalApiStub, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("wrong\n")
    number = stub.add("noop")
    async with worker_process(tmp_path, internal_api_url=stub.url, internal_api_token_file=file):
        await eventually(lambda: _some(stub.refusals))
        file.write_text(f"{TOKEN}\n")
        await eventually(lambda: stub.result(number))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, b"PLAYLOG_INTERNAL_API_TOKEN or PLAYLOG_INTERNAL_API_TOKEN_FILE is needed"),
        ({"internal_api_token": "t", "http_allow": "10.0.0.0/33"}, b"PLAYLOG_HTTP_ALLOW: '10.0.0.0/33'"),
        ({"internal_api_token": "t", "slots": 0}, b"PLAYLOG_SLOTS"),
        ({"internal_api_token": "t", "internal_api_url": "10.0.0.1:80"}, b"PLAYLOG_INTERNAL_API_URL"),
    ],
)
async def test_wrong_settings_end_the_worker_with_words(
    tmp_path: Path, settings: dict[str, object], says: bytes
) -> None:
    async with worker_process(tmp_path, **settings) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 2
    assert says in errors


def _exists(path: Path) -> None:
    assert path.exists()


def _some(value: object) -> None:
    assert value
