"""Does what a page says, as a reader would: writes its files, types its commands, compares what is shown.

A block of `bash` is typed line by line into a terminal of a fresh user. A block of another language whose
lead ends in a file's name is written to that file. A block of `text` is what the last command shows, but
for numbers, times, hashes and the width of columns; a line of `...` stands for any lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.pages import Table, parts_of

SECONDS = 60.0
PATIENCE = 20.0
END = "@@ended"
SOURCE = "/path/to/playlog"
SERVING, READY = "playlog dev", "  data "
"""What goes on in its terminal, and what it says once it is ready."""
LOOKING = ("playlog get", "playlog steps", "playlog events")
"""What a reader simply types again while it does not show yet what it will."""
BASE_PYTHON = str(getattr(sys, "_base_executable", sys.executable))


@dataclass(slots=True)
class Terminal:
    """A shell whose input and output are pipes."""

    process: asyncio.subprocess.Process

    async def type(self, line: str) -> str:
        """Run a line to its end and return what it has shown; raises AssertionError when it failed."""
        self.send(f"{line}\necho {END}$?")
        shown = await self.read_until(END)
        output, _, status = shown.rpartition(END)
        assert int(status) == 0, f"{line}\n{output}"
        return output

    def send(self, text: str) -> None:
        """Type without looking at what comes."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    async def read_until(self, words: str) -> str:
        """Read up to the end of the line that has these words."""
        assert self.process.stdout is not None
        shown = ""
        async with asyncio.timeout(SECONDS):
            while words not in shown:
                line = await self.process.stdout.readline()
                assert line, f"the terminal was closed, not showing {words}:\n{shown}"
                shown += line.decode()
        return shown


@asynccontextmanager
async def terminal(folder: Path) -> AsyncIterator[Terminal]:
    """A terminal in a folder; what still runs in it is interrupted at the end."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "bash",
        cwd=folder,
        env=fresh(),
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Terminal(process)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(SECONDS):
            await process.communicate()


@dataclass(slots=True, kw_only=True)
class Reader:
    """Somebody who goes through a page in an empty folder; `wheel` is what they install."""

    folder: Path
    wheel: Path
    stack: AsyncExitStack
    terminal: Terminal | None = None
    typed: str = ""
    shown: str = ""
    id: str = ""

    async def read(self, page: Path) -> None:
        """Go through a page from its top to its end."""
        for part in parts_of(page):
            if isinstance(part, Table):
                continue
            if part.kind == "bash":
                for line in part.text.splitlines():
                    await self._type(line)
            elif part.kind == "text":
                await self._compare(part.text)
            elif named := re.search(r"`([\w.]+)`[^`]*:$", part.lead):
                (self.folder / named[1]).write_text(part.text)

    async def _type(self, line: str) -> None:
        if self.terminal is None:
            self.terminal = await self.stack.enter_async_context(terminal(self.folder))
        self.typed = re.sub(r"\bID\b", self.id, line.replace(SOURCE, str(self.wheel)))
        if line == SERVING:
            self.terminal.send(line)
            self.shown = await self.terminal.read_until(READY)
            self.terminal = None
            return
        self.shown += await self.terminal.type(self.typed)
        if line.startswith("pip install"):
            add_dependencies(self.folder / ".venv")
        for found in re.finditer(r"^execution +(\d+)", self.shown, re.MULTILINE):
            self.id = found[1]

    async def _compare(self, wanted: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while first_missing(wanted, self.shown) and self.typed.startswith(LOOKING):
                    assert self.terminal is not None
                    self.shown = await self.terminal.type(self.typed)
        missing = first_missing(wanted, self.shown)
        assert missing is None, f"{self.typed} shows\n{self.shown}\nand not\n{missing}"
        self.shown = ""


def add_dependencies(environment: Path) -> None:
    """Give an environment the packages of this run: nothing is fetched from anywhere."""
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{next(p for p in sys.path if p.endswith('site-packages'))}\n")


def first_missing(wanted: str, shown: str) -> str | None:
    """The first line that is not shown behind the ones before it, or None."""
    lines = iter(shown.splitlines())
    for line in wanted.splitlines():
        if line.strip() != "..." and not any(_agree(line, each) for each in lines):
            return line
    return None


def _agree(wanted: str, shown: str) -> bool:
    """Whether two lines are the same; what was cut, by the page or the terminal, agrees as far as it goes."""
    one, other = _even(wanted.removesuffix("…")), _even(shown.removesuffix("…"))
    further = (wanted.endswith("…") and other.startswith(one)) or (
        shown.endswith("…") and (one.startswith(other) or other.startswith(one))
    )
    return one == other or further


def _even(line: str) -> str:
    """A line without what differs from one time to the next."""
    line = re.sub(r"\b[0-9a-f]{12}\b", "HASH", line)
    line = re.sub(r"\b\d[\d:.-]*( ms)?\b", "0", line)
    return " ".join(line.split())


def fresh() -> dict[str, str]:
    """The environment of somebody who has a Python, a shell, no internet, and nothing of ours."""
    return {
        "PATH": f"{Path(BASE_PYTHON).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/nowhere",
        "LANG": "C.UTF-8",
        "COLUMNS": "80",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_COMPILE": "1",
        "PIP_QUIET": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
