"""A process that dies by kill -9 leaves no server behind, and the next start finds the data."""

from __future__ import annotations

import contextlib
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from engine.runtime.embedded import embedded, launcher
from tests.support import servers
from tests.support.eventually import eventually
from tests.support.processes import assert_gone
from tests.support.programs import next_line, python

HOST = """
import asyncio, sys
from pathlib import Path
from engine.runtime.embedded import embedded

async def main():
    async with embedded(Path(sys.argv[1]), database_url=None, nats_url=None) as running:
        print(running.postgres.process.pid, running.nats.process.pid)
        await asyncio.Event().wait()

asyncio.run(main())
"""

TIED = """
import os, signal, subprocess, sys
listener, watch = os.pipe()
ids = [str(number) for number in (os.getpid(), os.getuid(), os.getgid(), int(signal.SIGTERM))]
command = [sys.executable, "-I", "-S", sys.argv[1], sys.argv[2], *ids, "/bin/sleep", "60"]
child = subprocess.Popen(command, stdin=listener, stdout=subprocess.DEVNULL, start_new_session=True)
os.close(listener)
print(child.pid)
if sys.argv[3] == "farewell":
    os.write(watch, b".")
    os.close(watch)
child.wait()
"""


async def test_no_server_outlives_its_killed_parent(home: Path) -> None:
    async with python(HOST, home) as parent:
        pids = [int(each) for each in (await next_line(parent)).split()]
        assert len(pids) == 2
        parent.kill()
        await parent.wait()
        for pid in pids:
            await eventually(partial(assert_gone, pid))
    async with (
        embedded(home, database_url=None, nats_url=None) as running,
        servers.connected(running.database_url) as connection,
    ):
        assert await connection.fetchval("SELECT 1") == 1


async def test_the_next_start_need_not_wait_for_the_orphans_to_end(home: Path) -> None:
    async with python(HOST, home) as parent:
        assert await next_line(parent)
        parent.kill()
        await parent.wait()
        async with embedded(home, database_url=None, nats_url=None) as running:
            assert running.postgres is not None
            assert running.postgres.process.running


@pytest.mark.parametrize("tie", ["kernel", "pipe"])
async def test_each_tie_ends_the_child_of_a_killed_parent(tie: str) -> None:
    async with python(TIED, launcher.__file__, tie, "silent") as parent:
        pid = int(await next_line(parent))
        await eventually(lambda: is_sleep(pid))
        parent.kill()
        await parent.wait()
        await eventually(partial(assert_gone, pid))


async def test_the_watcher_leaves_alone_what_was_stopped_in_order() -> None:
    async with python(TIED, launcher.__file__, "pipe", "farewell") as parent:
        pid = int(await next_line(parent))
        await eventually(lambda: is_sleep(pid))
        await eventually(lambda: no_watcher(parent.pid))
        parent.kill()
        await parent.wait()
        is_sleep(pid)
        os.kill(pid, signal.SIGKILL)


def is_sleep(pid: int) -> None:
    assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"


def no_watcher(parent: int) -> None:
    mark = f"\0pipe\0{parent}\0".encode()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert mark not in each.read_bytes()
