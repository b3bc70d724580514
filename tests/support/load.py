"""Load for fault tests: executions started with keys, so that a start may be repeated until answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import tenacity

from playlog.client import Client
from playlog.problems import ApiError, ApiUnreachable
from tests.support.eventually import eventually

PLAYBOOK = """
playbook: chaos/diamond
inputs: {n: {type: integer}}
steps:
  - {name: first, tool: noop, with: {n: "${ inputs.n }"}}
  - {name: left, tool: shell, with: {command: "echo $1", args: ["${ string(inputs.n) }"]}, needs: [first]}
  - {name: right, tool: noop, needs: [first], when: "inputs.n % 2 == 0"}
  - {name: last, tool: noop, needs: [left, right]}
output: "${ {'n': inputs.n, 'said': steps.left.output.stdout} }"
"""
CALLERS = 8
ACKNOWLEDGED_BETWEEN_FAULTS = 12
PATIENCE_SECONDS = 90.0
BUSY = frozenset({429, 503})

T = TypeVar("T")


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, ApiUnreachable) or (isinstance(error, ApiError) and error.status in BUSY)


async def until_answered(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call while the installation is away or busy."""
    attempts = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_is_passing),
        wait=tenacity.wait_fixed(0.1),
        stop=tenacity.stop_after_delay(PATIENCE_SECONDS),
        reraise=True,
    )

    async def attempt() -> T:
        return await call()

    return await attempts(attempt)


@dataclass(slots=True)
class Load:
    """Executions by number, with the id that was acknowledged for each; `path` is that of the `source`."""

    client: Client
    source: str = PLAYBOOK
    path: str = "chaos/diamond"
    acknowledged: dict[int, int] = field(default_factory=dict)

    async def start(self, numbers: Iterable[int]) -> None:
        """Start an execution a number, each until it is acknowledged, a few at a time."""
        await until_answered(lambda: self.client.register(self.source))
        places = iter(numbers)

        async def caller() -> None:
            for n in places:
                await self._start_one(n)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))

    async def _start_one(self, n: int) -> None:
        started = await until_answered(lambda: self.client.start(self.path, {"n": n}, key=f"number-{n}"))
        self.acknowledged[n] = int(started["execution_id"])


async def more_is_acknowledged(load: Load, executions: int) -> None:
    """The fault shall meet work: wait until some more starts, of so many in all, have been answered."""
    wanted = min(executions, len(load.acknowledged) + ACKNOWLEDGED_BETWEEN_FAULTS)

    def check() -> None:
        assert len(load.acknowledged) >= wanted

    await eventually(check, timeout=60)
