"""One of our processes as a child: started, read, asked whether it is ready, started again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from engine.errors import Misconfigured, Unavailable
from engine.runtime.settings import PREFIX
from playlog.cli.dev import launch
from playlog.cli.dev.lines import Emit, render
from playlog.cli.dev.ports import HOST

ROOT = Path(__file__).parents[3]
"""Where our packages lie: the checkout, or the site-packages."""

BACKOFF_SECONDS = (0.5, 15.0)
STEADY_SECONDS = 10.0
"""A process that has run for so long starts again after the shortest delay."""
STOP_SECONDS = 8.0
POLL_SECONDS = 0.05
PROBE_SECONDS = 4.0
LINE_LIMIT = 256 * 1024
TAIL_LINES = 12
MISCONFIGURED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run: a package with arguments, its environment, and its health port if it has one."""

    name: str
    package: str
    environment: Mapping[str, str]
    arguments: Sequence[str] = ()
    ready_url: str | None = None
    directory: Path | None = None


@dataclass(slots=True, kw_only=True)
class Supervised:
    """A process that is kept running until `stop`; `say` hears of unexpected ends."""

    plan: Plan
    emit: Emit
    say: Callable[[str], None]
    on_started: Callable[[], None] = lambda: None
    _process: asyncio.subprocess.Process | None = None
    _keeping: asyncio.Task[None] | None = None
    _stopping: bool = False
    _was_ready: bool = False
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    def start(self) -> None:
        """Begin to keep it running."""
        self._keeping = asyncio.create_task(self._keep(), name=self.plan.name)

    async def ready(self, session: aiohttp.ClientSession, seconds: float) -> None:
        """Wait until it says that it is ready.

        Raises `Unavailable` when that takes longer and `Misconfigured` when it refuses its settings, both
        with its last lines.
        """
        deadline = time.monotonic() + seconds
        reason: str | None = "starting"
        while (reason := await self._fault(session)) is not None:
            if self._keeping is None or self._keeping.done():
                raise Misconfigured(self._explain("refuses its settings"), code="process_ended")
            if time.monotonic() > deadline:
                raise Unavailable(
                    self._explain(f"is not ready after {seconds:g} s ({reason})"), code="process_not_ready"
                )
            await asyncio.sleep(POLL_SECONDS)
        self._was_ready = True

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to drain, and kill it after `seconds`; returns when it is gone."""
        self._stopping = True
        if self._keeping is None:
            return
        if self.pid is None:
            self._keeping.cancel()
        else:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._keeping), seconds)
            self.kill()
        await asyncio.gather(self._keeping, return_exceptions=True)

    def kill(self) -> None:
        """End it at once, if it runs."""
        self._stopping = True
        self._signal(signal.SIGKILL)

    async def _keep(self) -> None:
        delay = BACKOFF_SECONDS[0]
        while not self._stopping:
            began = time.monotonic()
            status = await self._run()
            if self._is_over(status):
                return
            steady = time.monotonic() - began > STEADY_SECONDS
            delay = BACKOFF_SECONDS[0] if steady else delay
            self.say(f"{self.plan.name} {ending(status)}; it starts again in {delay:g} s")
            await asyncio.sleep(delay)
            delay = min(BACKOFF_SECONDS[1], delay * 2)

    def _is_over(self, status: int) -> bool:
        """Whether there is no point in another start: its settings will not have changed."""
        return self._stopping or (status == MISCONFIGURED and not self._was_ready)

    async def _run(self) -> int:
        """Start it and read what it writes until it has ended; returns the exit status."""
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", launch.__file__, str(ROOT), self.plan.package, *self.plan.arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(self.plan.environment),
            cwd=self.plan.directory,
            start_new_session=True,
        )
        if self._stopping:
            self._signal(signal.SIGTERM)
        self.on_started()
        reading = asyncio.create_task(self._read(process))
        try:
            return await process.wait()
        finally:
            # A grandchild may hold the pipe open; what our process wrote is there at once.
            await asyncio.wait({reading}, timeout=1.0)
            reading.cancel()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        rest = b""
        while part := await process.stdout.read(65_536):
            *lines, rest = (rest + part).split(b"\n")
            if len(rest) > LINE_LIMIT:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._heard(line)
        if rest:
            self._heard(rest)

    def _heard(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if text:
            self._tail.append(render(self.plan.name, text).plain)
            self.emit(self.plan.name, text)

    async def _fault(self, session: aiohttp.ClientSession) -> str | None:
        """Why it is not ready yet."""
        if self.pid is None:
            return "it has ended"
        if self.plan.ready_url is None:
            return None
        try:
            timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
            async with session.get(self.plan.ready_url, timeout=timeout) as answer:
                return None if answer.ok else _reasons(await answer.read())
        except (aiohttp.ClientError, TimeoutError):
            return "it does not answer"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _explain(self, what: str) -> str:
        return "\n  ".join([f"{self.plan.name} {what}", *self._tail])


def health_url(port: int) -> str:
    """The address at which a process says whether it is ready."""
    return f"http://{HOST}:{port}/readyz"


def ending(status: int) -> str:
    """Word an exit status."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


async def run_once(package: str, *arguments: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a package to its end and return its exit status and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", launch.__file__, str(ROOT), package, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
    )
    output = b""
    try:
        if process.stdout is not None:
            output = await process.stdout.read()
        return await process.wait(), output.decode(errors="replace").strip()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def inherited() -> dict[str, str]:
    """This process's environment, with output that is written at once."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def plain_environment() -> dict[str, str]:
    """The same without any setting of ours."""
    return {name: value for name, value in inherited().items() if not name.startswith(PREFIX)}


def _reasons(body: bytes) -> str:
    try:
        checks = orjson.loads(body)["checks"]
        return "; ".join(f"{name}: {check['why']}" for name, check in checks.items() if check.get("why"))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return "it says that it is not"
