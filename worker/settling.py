"""The settler: sends results in batches, repeats a batch until it is heard, corrects what is refused."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

import structlog

from engine.errors import Invalid, TooLarge
from worker import metrics
from worker.commands import Held, Result, failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.api_client import Answer, InternalApi

_log = structlog.get_logger(__name__)

BATCH_RESULTS = 500
BATCH_BYTES = 4 * 1024 * 1024
_UNSTORABLE = frozenset({"too_large", "too_deep", "bad_text", "bad_number"})

Claim = dict[str, object]


class Settler:
    """Queues results and settles all that queued while the last request ran.

    `claim` is asked before each request for the claim to send along (it reserves room for it), and
    `answered` gets that claim back with the answer, or with None when there was none.
    """

    def __init__(
        self,
        api: InternalApi,
        worker_id: str,
        held: Held,
        *,
        claim: Callable[[], Claim | None],
        answered: Callable[[Claim | None, Answer | None], None],
    ) -> None:
        self._api = api
        self._worker_id = worker_id
        self._held = held
        self._claim = claim
        self._answered = answered
        self._results: deque[Result] = deque()
        self._wanted = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def queued(self) -> int:
        """Results that no request carries yet."""
        return len(self._results)

    @property
    def busy(self) -> bool:
        """Whether results are queued or under way."""
        return not self._empty.is_set()

    def add(self, result: Result) -> None:
        """Queue a result for the next request."""
        self._results.append(result)
        self._empty.clear()
        self._wanted.set()

    async def empty(self) -> None:
        """Wait until every result is settled."""
        await self._empty.wait()

    async def run(self) -> None:
        """Settle for ever."""
        while True:
            await self._wanted.wait()
            batch = self._next_batch()
            try:
                await self._settle(batch, claiming=True)
            except Exception:  # noqa: BLE001  # the loop outlives every error of one pass
                _log.exception("worker.settling_broke", results=len(batch))
                self._results.extendleft(reversed(batch))
                await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311  # spreads load
            if not self._results:
                self._wanted.clear()
                self._empty.set()
                self._answered(None, None)

    def _next_batch(self) -> list[Result]:
        batch: list[Result] = []
        size = 0
        while self._results and len(batch) < BATCH_RESULTS:
            size += self._results[0].size
            if batch and size > BATCH_BYTES:
                break
            batch.append(self._results.popleft())
        return batch

    async def _settle(self, batch: list[Result], *, claiming: bool) -> None:
        try:
            answer = await self._send(batch, claiming=claiming)
        except (Invalid, TooLarge) as refusal:
            await self._isolate(batch, refusal, claiming=claiming)
            return
        refused = _rejected(answer)
        if late := answer.get("late"):
            _log.info("worker.late_results", late=late)
        for index, result in enumerate(batch):
            if index in refused:
                self._reject(result, refused[index])
            else:
                self._held.remove(result.command)

    async def _send(self, batch: list[Result], *, claiming: bool) -> Answer:
        """Send the same results until they are heard; what is claimed along is decided anew each time."""
        results = [result.body for result in batch]
        asked: Claim | None = None

        def body() -> dict[str, object]:
            nonlocal asked
            self._answered(asked, None)
            asked = self._claim() if claiming else None
            request: dict[str, object] = {"worker_id": self._worker_id, "results": results}
            return request | {"claim": asked} if asked else request

        answer: Answer | None = None
        try:
            answer = await self._api.persist("/commands/settle", body)
        finally:
            self._answered(asked, answer)
        return answer

    async def _isolate(self, batch: list[Result], refusal: Invalid | TooLarge, *, claiming: bool) -> None:
        """Find what made the API refuse a whole request: first without the claim, then by halves."""
        if claiming:
            await self._settle(batch, claiming=False)
        elif len(batch) > 1:
            middle = len(batch) // 2
            await self._settle(batch[:middle], claiming=False)
            await self._settle(batch[middle:], claiming=False)
        else:
            _log.warning("worker.result_refused", error=refusal.detail)
            self._reject(batch[0], "too_large" if isinstance(refusal, TooLarge) else refusal.code)

    def _reject(self, result: Result, code: str) -> None:
        """Drop a result the log will not have; one it cannot store is settled as a failure instead.

        Without that the attempt would look lost, and would be repeated with the same outcome.
        """
        metrics.rejected(code).inc()
        _log.warning(
            "worker.result_rejected", command_id=result.command.key, code=code, corrected=result.corrected
        )
        if code not in _UNSTORABLE or result.corrected:
            self._held.remove(result.command)
            return
        kind = "output_too_large" if code == "too_large" else "validation"
        error: dict[str, object] = {"code": kind, "message": f"the attempt's result cannot be stored: {code}"}
        correction = failed(result.command, error, str(result.body["started_at"]))
        correction.corrected = True
        self.add(correction)


def _rejected(answer: Answer) -> dict[int, str]:
    rows = answer.get("rejected")
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {row["index"]: str(row.get("code")) for row in found if isinstance(row.get("index"), int)}
