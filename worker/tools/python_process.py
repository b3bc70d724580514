"""One warm Python process: starts it, sends a call, reads the reply and what user code prints."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from pathlib import Path

from worker.masking import MaskedStream
from worker.tools import python_child
from worker.tools.capture import LineSplitter
from worker.tools.contract import ToolContext
from worker.tools.pipes import OutputPipe

_REPLY_LIMIT = python_child.OUTPUT_LIMIT + 64 * 1024


class ProcessDied(Exception):  # noqa: N818  # named as the fact it reports
    """The process ended, or broke the protocol, before it replied."""


class _Printed:
    """One standard stream of a process, split into lines for the call that is under way."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: LineSplitter | None = None
        self._masked: MaskedStream | None = None
        self.pipe = OutputPipe(self._feed)

    def listen(self, context: ToolContext) -> None:
        self._lines = LineSplitter(lambda line: context.log(self._name, line))
        self._masked = context.mask.stream(self._lines.feed)

    def finish(self) -> None:
        """Take what was printed before the reply and end the call's last line."""
        self.pipe.drain()
        if self._masked is not None and self._lines is not None:
            self._masked.close()
            self._lines.close()
        self._masked = self._lines = None

    def _feed(self, data: bytes) -> None:
        if self._masked is not None:
            self._masked.feed(data)


class PythonProcess:
    """A subprocess that serves one call at a time; `kill` ends its whole process group."""

    def __init__(
        self,
        process: Process,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        printed: list[_Printed],
    ) -> None:
        self._process = process
        self._reader, self._writer = streams
        self._printed = printed
        self.idle_since = 0.0

    @classmethod
    async def start(cls, environment: Mapping[str, str]) -> PythonProcess:
        """Start one with exactly this environment; its standard streams are pipes of their own."""
        ours, theirs = socket.socketpair()
        printed = [_Printed("stdout"), _Printed("stderr")]
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(Path(python_child.__file__)), str(theirs.fileno())),
                stdin=DEVNULL,
                stdout=printed[0].pipe.write_end,
                stderr=printed[1].pipe.write_end,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            return cls(process, await asyncio.open_unix_connection(sock=ours), printed)
        except BaseException:
            ours.close()
            for stream in printed:
                stream.pipe.close()
            raise
        finally:
            theirs.close()
            for stream in printed:
                stream.pipe.close_write_end()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None and not self._reader.at_eof()

    async def call(self, request: bytes, context: ToolContext) -> bytes:
        """Send one request and return the reply; raises `ProcessDied`."""
        for stream in self._printed:
            stream.listen(context)
        try:
            self._writer.write(struct.pack(">I", len(request)) + request)
            await self._writer.drain()
            (size,) = struct.unpack(">I", await self._reader.readexactly(4))
            if size > _REPLY_LIMIT:
                raise ProcessDied("the process broke its protocol")
            return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            code = await self._process.wait()
            raise ProcessDied(f"the process ended with status {code}") from None
        finally:
            for stream in self._printed:
                stream.finish()

    async def kill(self) -> None:
        """End the process and everything in its group, and wait for it."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._writer.close()
        for stream in self._printed:
            stream.pipe.close()
        await self._process.wait()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
