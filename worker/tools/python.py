"""Calls a user's Python function in a pool of warm processes that never see the platform's settings."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import orjson

from engine.language.tools import PythonInput
from worker.environment import scrubbed
from worker.tools.contract import IDEMPOTENCY_VARIABLE, ToolContext, ToolFailed, read_input
from worker.tools.python_process import ProcessDied, PythonProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

IDLE_SECONDS = 60.0


class PythonPool:
    """As many processes as calls at once; one that is idle for a minute ends.

    A process whose call timed out, was cancelled or crashed is killed, never used again.
    """

    def __init__(self, tasks_path: Sequence[Path]) -> None:
        extra = {"PYTHONPATH": os.pathsep.join(str(p.resolve()) for p in tasks_path)} if tasks_path else {}
        self._environment = scrubbed(extra)
        self._idle: list[PythonProcess] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._retiring: asyncio.TimerHandle | None = None

    async def run(self, value: object, context: ToolContext) -> object:
        """Return what the function returns, as JSON.

        Fails with `python_error` (its exception), `python_crashed` (the process ended), `validation` (no
        such module or function, arguments that do not fit, a result that is not JSON).
        """
        wanted = read_input(PythonInput, value)
        seen = {IDEMPOTENCY_VARIABLE: context.idempotency_key}
        request = orjson.dumps({"call": wanted.call, "args": wanted.args, "environment": seen})
        process = await self._take()
        try:
            reply = await process.call(request, context)
        except ProcessDied as died:
            await process.kill()
            raise ToolFailed("python_crashed", f"{wanted.call}: {died}") from None
        except BaseException:
            await self._end(process)
            raise
        self._give_back(process)
        return _result(reply)

    async def close(self) -> None:
        """End every process that is not in a call."""
        if self._retiring is not None:
            self._retiring.cancel()
        idle, self._idle = self._idle, []
        await asyncio.gather(*(process.kill() for process in idle), *self._ending)

    async def _take(self) -> PythonProcess:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            await self._end(process)
        return await PythonProcess.start(self._environment)

    async def _end(self, process: PythonProcess) -> None:
        # A task of its own: a second cancellation must not leave a half-closed process behind.
        task = asyncio.create_task(process.kill())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        await asyncio.shield(task)

    def _give_back(self, process: PythonProcess) -> None:
        process.idle_since = time.monotonic()
        self._idle.append(process)
        if self._retiring is None:
            self._retiring = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire)

    def _retire(self) -> None:
        self._retiring = None
        limit = time.monotonic() - IDLE_SECONDS
        old = [process for process in self._idle if process.idle_since <= limit]
        self._idle = [process for process in self._idle if process.idle_since > limit]
        for process in old:
            task = asyncio.create_task(process.kill())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        if self._idle:
            self._retiring = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire)


def _result(reply: bytes) -> object:
    try:
        answer = orjson.loads(reply)
    except orjson.JSONDecodeError:
        raise ToolFailed("python_crashed", "the process broke its protocol") from None
    if error := answer.get("error"):
        raise ToolFailed(error["code"], error["message"], details=error["details"])
    output: object = answer["output"]
    return output
