"""Ships what tools print to `/logs`, in batches, without ever slowing a tool down."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING

import structlog

from engine.errors import Invalid, TooLarge
from worker import metrics
from worker.commands import now_iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.api_client import InternalApi
    from worker.commands import Command

_log = structlog.get_logger(__name__)

QUEUE_LINES = 10_000
BATCH_LINES = 500
LINGER_SECONDS = 0.5


class StepLogs:
    """A bounded queue of log lines; when it is full, new lines are dropped and counted."""

    def __init__(self, api: InternalApi) -> None:
        self._api = api
        self._lines: deque[dict[str, object]] = deque()
        self._wanted = asyncio.Event()
        self._flushing = asyncio.Lock()

    def writer(self, command: Command) -> Callable[[str, str], None]:
        """Return `log(stream, line)` for one attempt; lines are numbered from 1."""
        numbers = itertools.count(1)

        def write(stream: str, line: str) -> None:
            if len(self._lines) >= QUEUE_LINES:
                metrics.log_lines_dropped.inc()
                return
            self._lines.append(
                {
                    "command_id": command.command_id,
                    "seq": next(numbers),
                    "execution_id": command.execution_id,
                    "step": command.step,
                    "attempt": command.attempt,
                    "at": now_iso(),
                    "stream": stream,
                    "line": line,
                }
            )
            self._wanted.set()

        return write

    async def run(self) -> None:
        """Ship for ever."""
        while True:
            await self._wanted.wait()
            if len(self._lines) < BATCH_LINES:
                await asyncio.sleep(LINGER_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Ship what is queued; the API knows a line by command and number, so repeats are harmless."""
        async with self._flushing:
            self._wanted.clear()
            while self._lines:
                batch = list(itertools.islice(self._lines, BATCH_LINES))
                await self._send(batch)
                for _ in batch:
                    self._lines.popleft()

    async def _send(self, batch: list[dict[str, object]]) -> None:
        try:
            await self._api.persist("/logs", lambda: {"lines": batch})
        except (Invalid, TooLarge) as error:
            _log.warning("worker.log_lines_refused", error=str(error), lines=len(batch))
