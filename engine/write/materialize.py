"""The idempotent batch: raw events are normalized, grouped by execution, appended, and answered one by one.

Nothing is decided here but where an event belongs; the append judges it under its execution's head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from engine.domain.admit import RECORDED, Admission, Verdict
from engine.domain.events import NewEvent
from engine.domain.json_values import Unstorable, are_finite
from engine.domain.normalize import IdempotentPlace, Normalized, normalize
from engine.domain.rowshape import normalize_row
from engine.errors import PlaylogError, TooLarge, Unavailable
from engine.write.executions import Checkout
from engine.write.horizon import Horizon
from engine.write.ids import IdBlock
from engine.write.refusals import gravest, refusal_of
from engine.write.requests import Outcome, Request
from engine.write.writer import Appender
from sql import queries

SQL = queries.load("append")

MOST_EVENTS = 10_000
HEADS_REMEMBERED = 50_000
HEAD_GONE = Unavailable("an execution was removed meanwhile; send its events again", retry_after=0)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the event at this index of a batch was not recorded; the detail names no value."""

    index: int
    code: str
    detail: str


@dataclass(slots=True)
class Materialized:
    """What became of a batch.

    `materialized` counts what was recorded now, late results included; `late` and `rejected` go by index
    in the batch; `minted` events got a fresh id, so that sending them again records them again; `versions`
    says where each execution stands.
    """

    materialized: int = 0
    duplicates: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    minted: int = 0
    versions: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Batch:
    """Events that may be appended, by execution, each with its index in what was sent."""

    events: dict[int, list[tuple[int, NewEvent]]] = field(default_factory=dict)
    answer: Materialized = field(default_factory=Materialized)
    landed: list[int] = field(default_factory=list)

    def add(self, index: int, normalized: Normalized) -> None:
        self.events.setdefault(normalized.execution_id, []).append((index, normalized.event))

    def reject(self, index: int, code: str, detail: str) -> None:
        self.answer.rejected.append(Rejection(index, code, detail))

    def reject_execution(self, execution_id: int, code: str, detail: str) -> None:
        for index, _ in self.events.pop(execution_id):
            self.reject(index, code, detail)


class Intake:
    """Takes batches of raw events; `borrow` lends a connection for what is no append."""

    def __init__(self, appender: Appender, borrow: Checkout) -> None:
        self._appender = appender
        self._borrow = borrow
        self._horizon = Horizon()
        self._ids = IdBlock()
        self._foreign: dict[int, None] = {}

    async def materialize(self, raw: Sequence[object], idempotency_key: str | None = None) -> Materialized:
        """Record native events, in the order of the batch an execution; returns after all commits.

        One bad event is rejected by its index and hurts no other. Raises `TooLarge` for more than 10,000
        events, and `Unavailable`, `UnknownOutcome` or `Busy` when some could not be tried: `data["landed"]`
        then names the indexes that are settled, and the whole batch may be sent again where none was minted.
        """
        is_finite = are_finite(raw)
        batch = _normalized(
            raw, lambda index: normalize(raw[index], _place(idempotency_key, index), is_finite=is_finite)
        )
        await self._judge_ids(batch)
        await self._mint(batch)
        return await self._append(batch)

    async def project(self, rows: Sequence[object]) -> Materialized:
        """Record row-shaped events of other systems; an execution that nobody knows becomes a foreign one.

        Events for executions of ours are rejected as not_allowed. Raises as `materialize` does.
        """
        is_finite = are_finite(rows)
        batch = _normalized(rows, lambda index: normalize_row(rows[index], is_finite=is_finite))
        await self._judge_ids(batch)
        unknown = sorted(batch.events.keys() - self._foreign.keys())
        for execution_id in await self._make_heads(unknown):
            batch.reject_execution(execution_id, "not_allowed", "the execution belongs to this engine")
        return await self._append(batch, heads_made=True)

    async def _judge_ids(self, batch: _Batch) -> None:
        if self._horizon.is_old:
            async with self._borrow() as connection:
                await self._horizon.read(connection)
        for execution_id in list(batch.events):
            try:
                self._horizon.check(execution_id)
            except Unstorable as refusal:
                batch.reject_execution(execution_id, refusal.code, refusal.detail)

    async def _mint(self, batch: _Batch) -> None:
        nameless = [
            (events, place)
            for events in batch.events.values()
            for place, (_, event) in enumerate(events)
            if event.event_id is None
        ]
        if not nameless:
            return
        async with self._borrow() as connection:
            fresh = await self._ids.ensure(connection, len(nameless))
            for events, place in nameless:
                index, event = events[place]
                events[place] = (index, event._replace(event_id=fresh.popleft()))
        batch.answer.minted = len(nameless)

    async def _make_heads(self, wanted: Sequence[int]) -> list[int]:
        """Make the foreign heads that are missing; returns which executions are ours."""
        if not wanted:
            return []
        async with self._borrow() as connection, connection.transaction():
            await connection.execute(SQL.insert_foreign_heads, wanted)
            native = [row["execution_id"] for row in await connection.fetch(SQL.native_heads, wanted)]
        self._foreign.update(dict.fromkeys(set(wanted) - set(native)))
        for execution_id in list(islice(self._foreign, max(0, len(self._foreign) - HEADS_REMEMBERED))):
            del self._foreign[execution_id]
        return native

    def _is_gone(self, outcome: Outcome) -> bool:
        """Whether a head that was there is gone, as after a restore; sent again, events make it anew."""
        if outcome.is_unknown:
            self._foreign.pop(outcome.execution_id, None)
        return outcome.is_unknown

    async def _append(self, batch: _Batch, *, heads_made: bool = False) -> Materialized:
        requests = [
            Request(execution_id=execution_id, events=tuple(event for _, event in events))
            for execution_id, events in batch.events.items()
        ]
        failures: list[BaseException] = []
        settled = await self._appender.submit_each(requests)
        for (execution_id, events), outcome in zip(list(batch.events.items()), settled, strict=True):
            if isinstance(outcome, Outcome) and not (heads_made and self._is_gone(outcome)):
                _note(batch, [index for index, _ in events], outcome)
                continue
            failure = HEAD_GONE if isinstance(outcome, Outcome) else outcome
            refusal = refusal_of(failure)
            if refusal is None:
                failures.append(failure)
            else:
                batch.reject_execution(execution_id, refusal.code, refusal.detail)
        batch.answer.rejected.sort(key=lambda rejection: rejection.index)
        batch.answer.late.sort()
        if failures:
            raise _partial(gravest(failures), batch)
        return batch.answer


def _place(idempotency_key: str | None, index: int) -> IdempotentPlace | None:
    return None if idempotency_key is None else IdempotentPlace(idempotency_key, index)


def _normalized(raw: Sequence[object], read: Callable[[int], Normalized]) -> _Batch:
    if len(raw) > MOST_EVENTS:
        raise TooLarge(f"{len(raw)} events in one request, at most {MOST_EVENTS} are allowed")
    batch = _Batch()
    for index in range(len(raw)):
        try:
            batch.add(index, read(index))
        except Unstorable as refusal:
            batch.reject(index, refusal.code, refusal.detail)
    return batch


def _note(batch: _Batch, indexes: Sequence[int], outcome: Outcome) -> None:
    answer = batch.answer
    if outcome.status:
        answer.versions[outcome.execution_id] = outcome.version
    batch.landed += indexes
    if outcome.verdicts.count(RECORDED) == len(indexes):
        answer.materialized += len(indexes)
        return
    for index, admission in zip(indexes, outcome.verdicts, strict=True):
        _count(batch, index, admission)


def _count(batch: _Batch, index: int, admission: Admission) -> None:
    match admission.verdict:
        case Verdict.RECORDED:
            batch.answer.materialized += 1
        case Verdict.LATE:
            batch.answer.materialized += 1
            batch.answer.late.append(index)
        case Verdict.DUPLICATE | Verdict.UNCHANGED:
            batch.answer.duplicates += 1
        case Verdict.REJECTED:
            batch.reject(index, admission.code, admission.detail)


def _partial(failure: BaseException, batch: _Batch) -> BaseException:
    """The failure of a part of the batch, saying which indexes are settled all the same."""
    if not isinstance(failure, PlaylogError):
        return failure
    answer = batch.answer
    told: Mapping[str, object] = {
        "materialized": answer.materialized,
        "duplicates": answer.duplicates,
        "rejected": [
            {"index": refused.index, "code": refused.code, "detail": refused.detail}
            for refused in answer.rejected
        ],
        "landed": sorted(batch.landed),
    }
    return type(failure)(failure.detail, code=failure.code, **{**failure.data, **told})
