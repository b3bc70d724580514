"""One server as a child of this process: started by the launcher, stopped patiently, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from engine.errors import Unavailable
from engine.runtime.embedded import account as accounts
from engine.runtime.embedded import launcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from engine.runtime.embedded.account import Account

LOG_LIMIT_BYTES = 10 * 1024 * 1024
TAIL_LINES = 15
TAIL_BYTES = 16 * 1024
POLL_SECONDS = 0.02


ENDED = "server_ended"


def default_tie() -> Literal["kernel", "pipe"]:
    """How a server learns that this process is gone: Linux can tell it, elsewhere a watcher does."""
    return "kernel" if sys.platform == "linux" else "pipe"


class Child:
    """A running server; made by `start`, gone for good after `stop` or `kill`."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, log: Path, begin: int, watch: int
    ) -> None:
        self._name = name
        self._process = process
        self._log = log
        self._begin = begin
        self._watch: int | None = watch

    @classmethod
    async def start(
        cls, command: Sequence[str | Path], account: Account, log: Path, *, last_signal: signal.Signals
    ) -> Child:
        """Start `command` as `account`, its output appended to `log`; `last_signal` ends it if we die.

        On Linux it ends with the thread that calls this, too.
        """
        listener, watch = os.pipe()
        ids = (str(each) for each in (os.getpid(), account.uid, account.gid, int(last_signal)))
        python = (sys.executable, "-I", "-S", "-B", launcher.__file__, default_tie())
        with _open_log(log, account) as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *python,
                    *ids,
                    *command,
                    stdin=listener,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env=accounts.environment(),
                    start_new_session=True,
                )
            except BaseException:
                os.close(watch)
                raise
            finally:
                os.close(listener)
            return cls(Path(command[0]).name, process, log, output.tell(), watch)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait until it ends, and return its exit status (negative: the signal)."""
        status = await self._process.wait()
        self._farewell()
        return status

    async def until_ready(self, ready: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Ask `ready` again and again; raises `Unavailable` when it ends or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not await ready():
            if not self.running:
                await self.wait()
                raise Unavailable(self._explain(f"ended with status {self._process.returncode}"), code=ENDED)
            if time.monotonic() > deadline:
                raise Unavailable(self._explain(f"does not answer after {seconds:g} s"), code="server_silent")
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self, steps: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send each signal in turn, waiting its seconds, then SIGKILL; returns when the server is gone."""
        for number, seconds in steps:
            if not self.running:
                break
            self._signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), seconds)
        await self.kill()

    async def kill(self) -> None:
        """End it by SIGKILL, as a power cut would, and wait until it is gone."""
        if self.running:
            self._signal(signal.SIGKILL)
        await self.wait()

    def tail(self) -> str:
        """The last lines it has written since it was started."""
        with self._log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._begin, end - TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-TAIL_LINES:])

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _farewell(self) -> None:
        """Tell the watcher, where there is one, that there is nothing left to end."""
        if self._watch is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._watch, b".")
            os.close(self._watch)
            self._watch = None

    def _explain(self, what: str) -> str:
        return f"{self._name} {what}; the end of its log {self._log}:\n{self.tail()}"


def _open_log(log: Path, account: Account) -> BinaryIO:
    """Open it to append; one that has grown large is kept aside, once."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    if not log.exists():
        log.touch(mode=0o600)
        account.own(log)
    return log.open("ab")
