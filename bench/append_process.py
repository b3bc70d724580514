"""One of several appending processes: `python -m bench.append_process URL WRITER BATCHES`.

For each line on its input it either gets batches ready (`ready`) or appends them (`append`), and answers
with an empty line. It stands for one internal API of several behind a load balancer.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import uvloop

from bench.events import Batch, batches
from bench.write_side import PRODUCERS, an_intake, produce, timed
from engine.write.desk import WRITERS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Appending:
    """The processes, one a writer, seen from the benchmark that started them."""

    processes: Sequence[asyncio.subprocess.Process]

    async def tell(self, word: str) -> None:
        """Have all do it, and wait until they have."""
        for process in self.processes:
            _pipe(process.stdin).write(f"{word}\n".encode())
        for process in self.processes:
            if not await _pipe(process.stdout).readline():
                raise AssertionError("an appending process has failed")


@asynccontextmanager
async def appending_processes(url: str, count: int) -> AsyncIterator[Appending]:
    """As many processes as one process has writers, with one each; a producer takes `count` batches."""
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, url, str(writer), str(count)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for writer in range(WRITERS)
    ]
    try:
        yield Appending(processes)
    finally:
        for process in processes:
            _pipe(process.stdin).close()
            await process.wait()


async def _serve(url: str, writer: int, count: int) -> None:
    sent: list[list[Batch]] = []
    async with an_intake(url, writers=1) as intake:
        while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if word == "ready":
                sent = [batches(count, writer) for _ in range(PRODUCERS)]
            else:
                await timed([produce(intake.project, lane) for lane in sent])
            print(flush=True)


def _pipe(pipe: T | None) -> T:
    if pipe is None:
        raise AssertionError("the process was started without this pipe")
    return pipe


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
