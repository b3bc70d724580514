"""Appends for what is due, each on its own: one that fails is reported and leaves the others alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from engine.domain.admit import Verdict
from engine.errors import Busy, PlaylogError, Unavailable, UnknownOutcome
from engine.runtime import metrics
from engine.write.requests import Outcome, Request
from engine.write.writer import Appender

POSTPONED_SECONDS = 30.0
RETRIED_SECONDS = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A request with its outcome or its error."""

    request: Request
    answer: Outcome | BaseException

    @property
    def is_unknown(self) -> bool:
        """Whether there is no such execution."""
        return isinstance(self.answer, Outcome) and self.answer.is_unknown

    @property
    def postpone_seconds(self) -> float | None:
        """How long its row has to wait if it is still due; None when the append has done away with it."""
        if isinstance(self.answer, Outcome):
            return None if self.answer.count(Verdict.RECORDED) else POSTPONED_SECONDS
        # Even a server that is away soon makes room: a row that alone brings about such an error does, too.
        away = isinstance(self.answer, Busy | Unavailable | UnknownOutcome)
        return RETRIED_SECONDS if away else POSTPONED_SECONDS


async def append_each(appender: Appender, kind: str, requests: Sequence[Request]) -> list[Served]:
    """Append each request; count and report those that fail or are refused, under their kind."""
    answers = await appender.submit_each(requests)
    served = [Served(request, answer) for request, answer in zip(requests, answers, strict=True)]
    failed = sum(_report(kind, each) for each in served)
    metrics.due_failed.labels(kind).inc(failed)
    metrics.due_served.labels(kind).inc(len(served) - failed)
    return served


def _report(kind: str, served: Served) -> bool:
    """Log a failure; returns whether it was one."""
    answer = served.answer
    match answer:
        case Outcome():
            codes = [admission.code for admission in answer.verdicts if admission.code]
            error, unforeseen = (codes[0] if codes else None), None
        case PlaylogError():
            error, unforeseen = answer.code, None
        case _:
            error, unforeseen = type(answer).__name__, answer
    if error is not None:
        _log.warning(
            "due.failed",
            kind=kind,
            execution_id=served.request.execution_id,
            error=error,
            exc_info=unforeseen,
        )
    return error is not None
