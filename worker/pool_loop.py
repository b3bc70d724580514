"""The pool loop: claims commands for its slots, runs them, and settles results in batches.

Two conversations with the API exist side by side, each one request at a time:

    claimer   an idle worker long-polls for as many commands as it has free slots
    settler   takes every result that queued while its last request ran, and asks in the same
              request for as many commands as slots got free: one round trip a batch when busy

What either has asked for is reserved until it is answered, so both together never hold more than
`slots` commands, plus `prefetch` while commands are so short that a round trip would leave slots idle.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from engine.errors import PlaylogError
from worker import metrics
from worker.attempt import known_tool, run_attempt
from worker.commands import Command, Held, Result, age, completed, now_iso, read_command
from worker.payloads import Payloads
from worker.settling import Settler

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.api_client import Answer, InternalApi
    from worker.secrets import Secrets
    from worker.step_logs import StepLogs
    from worker.tools.contract import Tool

_log = structlog.get_logger(__name__)

WAIT_SECONDS = 25
LEASE_SECONDS = 60
SHORT_SECONDS = 0.1
SHED_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
_EARLY_SECONDS = 1.0
_WEIGHT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Who works for which pool with how many slots."""

    worker_id: str
    name: str
    slots: int
    prefetch: int


class PoolLoop:
    """Runs commands of one pool until it is told to drain."""

    def __init__(
        self,
        pool: Pool,
        api: InternalApi,
        tools: Mapping[str, Tool],
        *,
        secrets: Secrets,
        held: Held,
        logs: StepLogs,
    ) -> None:
        self._pool = pool
        self._api = api
        self._tools = tools
        self._secrets = secrets
        self._held = held
        self._logs = logs
        self._payloads = Payloads(api)
        self._ready: deque[Command] = deque()
        self._running: dict[str, asyncio.Task[Result]] = {}
        self._given_up: dict[str, str] = {}
        self._unfinished: list[Command] = []
        self._reserved = 0
        self._mean_seconds = 0.0
        self._draining = False
        self._changed = asyncio.Event()
        self._releases: set[asyncio.Task[None]] = set()
        self._settler = Settler(
            api, pool.worker_id, held, claim=self._claim_with_settle, answered=self._settle_answered
        )

    async def run(self, stop: asyncio.Event, grace: float) -> None:
        """Work until `stop`, then finish what runs within `grace` seconds and hand the rest back."""
        loops = [asyncio.create_task(self._claim_for_ever()), asyncio.create_task(self._settler.run())]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *loops], return_when=asyncio.FIRST_COMPLETED)
            for loop in loops:
                if loop.done():
                    loop.result()
            loops[0].cancel()
            await self._drain(grace)
        finally:
            for task in [stopping, *loops, *self._releases, *self._running.values()]:
                task.cancel()
            await asyncio.gather(
                stopping, *loops, *self._releases, *self._running.values(), return_exceptions=True
            )

    def give_up(self, cancelled: Iterable[Command], lost: Iterable[Command]) -> None:
        """Stop the attempts the API no longer wants or that another worker may have; nothing is settled.

        A command that is held under another lease by now goes on.
        """
        for outcome, commands in (("cancelled", cancelled), ("lost", lost)):
            for command in commands:
                if self._held.has(command):
                    self._give_up_one(command, outcome)

    def _give_up_one(self, command: Command, outcome: str) -> None:
        task = self._running.get(command.key)
        if task is not None and command.key not in self._given_up:
            self._given_up[command.key] = outcome
            task.cancel()
        elif command in self._ready:
            self._ready.remove(command)
            self._dropped(command, outcome)

    def _dropped(self, command: Command, outcome: str) -> None:
        _log.info("worker.attempt_given_up", command_id=command.key, outcome=outcome)
        metrics.commands(known_tool(self._tools, command), outcome).inc()
        self._held.remove(command)

    # -- claiming

    def _free(self, allowance: int = 0) -> int:
        claimed = len(self._ready) + len(self._running) + self._settler.queued + self._reserved
        return max(0, self._pool.slots + allowance - claimed)

    def _claim_with_settle(self) -> dict[str, object] | None:
        """Reserve room for the commands a settle asks for; None when there is none."""
        short = self._mean_seconds <= SHORT_SECONDS
        limit = 0 if self._draining else self._free(self._pool.prefetch if short else 0)
        if not limit:
            return None
        self._reserved += limit
        return {"pool": self._pool.name, "limit": limit}

    def _settle_answered(self, claim: dict[str, object] | None, answer: Answer | None) -> None:
        if claim is not None:
            self._reserved -= int(str(claim["limit"]))
        if answer is not None:
            self._accept(answer)
        self._changed.set()

    async def _claim_for_ever(self) -> None:
        while True:
            while self._settler.busy or not self._free():
                self._changed.clear()
                await self._changed.wait()
            started, count = time.monotonic(), 0
            try:
                count = await self._claim()
            except Exception:  # noqa: BLE001  # the loop outlives every error of one pass
                _log.exception("worker.claiming_broke")
            if not count and time.monotonic() - started < _EARLY_SECONDS:
                # An API that answers "nothing" at once must not be asked in a tight circle.
                await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311  # spreads load

    async def _claim(self) -> int:
        limit = self._free()
        body = {
            "worker_id": self._pool.worker_id,
            "pool": self._pool.name,
            "limit": limit,
            "wait_seconds": WAIT_SECONDS,
            "lease_seconds": LEASE_SECONDS,
        }
        self._reserved += limit
        try:
            seconds = WAIT_SECONDS + _ANSWER_SECONDS
            answer = await self._api.persist("/commands/claim", lambda: body, seconds=seconds)
        except PlaylogError as error:
            _log.error("worker.claim_refused", error=str(error))  # an answer, no fault of ours
            answer = {}
        finally:
            self._reserved -= limit
        return self._accept(answer)

    def _accept(self, answer: Answer) -> int:
        rows = answer.get("commands")
        now, started_at, count = time.monotonic(), now_iso(), 0
        for row in rows if isinstance(rows, list) else []:
            try:
                command = read_command(row, now)
            except (KeyError, TypeError, ValueError) as error:
                _log.error("worker.unreadable_command", error=repr(error))  # the row's fault
                continue
            count += 1
            self._take(command, started_at)
        self._start_ready()
        return count

    def _take(self, command: Command, started_at: str) -> None:
        self._held.add(command)
        if command.tool != "noop" or self._draining:
            self._ready.append(command)
            return
        # A command without work needs neither a slot nor a task.
        metrics.commands("noop", "completed").inc()
        self._mean_seconds -= _WEIGHT * self._mean_seconds
        self._settler.add(completed(command, b"null", started_at))

    # -- running

    def _start_ready(self) -> None:
        while self._ready and len(self._running) < self._pool.slots and not self._draining:
            command = self._ready.popleft()
            write = self._logs.writer(command)
            attempt = run_attempt(self._tools, self._payloads, self._secrets, command, write)
            task = asyncio.create_task(attempt)
            self._running[command.key] = task
            task.add_done_callback(partial(self._ended, command))
        metrics.busy_slots.set(len(self._running))
        metrics.held_commands.set(len(self._held))
        if self._draining:
            self._release_ready()
        elif self._ready:
            asyncio.get_running_loop().call_later(SHED_SECONDS, self._shed)

    def _ended(self, command: Command, task: asyncio.Task[Result]) -> None:
        self._running.pop(command.key, None)
        self._mean_seconds += _WEIGHT * (age(command) - self._mean_seconds)
        outcome = self._given_up.pop(command.key, None)
        if not task.cancelled():
            self._settler.add(task.result())
        elif outcome is not None:
            self._dropped(command, outcome)
        else:
            self._unfinished.append(command)
        self._start_ready()
        self._changed.set()

    def _shed(self) -> None:
        """Hand back prefetched commands that found no slot soon: another worker may have one."""
        old = [command for command in self._ready if age(command) >= SHED_SECONDS]
        for command in old:
            self._ready.remove(command)
        self._release(old)

    # -- handing back

    def _release_ready(self) -> None:
        self._release(list(self._ready))
        self._ready.clear()

    def _release(self, commands: list[Command]) -> None:
        if commands:
            task = asyncio.create_task(self._send_release(commands))
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)

    async def _send_release(self, commands: list[Command]) -> None:
        body = {"worker_id": self._pool.worker_id, "commands": [command.reference for command in commands]}
        try:
            await self._api.persist("/commands/release", lambda: body)
        except PlaylogError as error:
            _log.error("worker.release_refused", error=str(error))  # an answer, no fault of ours
        for command in commands:
            metrics.commands(known_tool(self._tools, command), "released").inc()
            self._held.remove(command)

    async def _drain(self, grace: float) -> None:
        """Finish or hand back everything; a fifth of the grace is kept for telling the API."""
        self._draining = True
        ends = time.monotonic() + grace
        _log.info("worker.draining", running=len(self._running), ready=len(self._ready), grace_seconds=grace)
        self._release_ready()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=grace * 0.8)
        cut_off = list(self._running.values())
        for task in cut_off:
            task.cancel()
        if cut_off:
            await asyncio.wait(cut_off, timeout=max(0.0, ends - time.monotonic()))
        self._release(self._unfinished)
        try:
            async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                await self._settler.empty()
                await asyncio.gather(*self._releases)
                await self._logs.flush()
        except TimeoutError:
            _log.warning("worker.not_drained", held=len(self._held))
        _log.info("worker.drained", released=len(self._unfinished), held=len(self._held))
