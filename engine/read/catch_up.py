"""States folded from the log: from a snapshot of this build's fold, or from the first event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg
import orjson

from engine.domain.advance import replay
from engine.domain.events import RecordedEvent, from_row
from engine.domain.execution import Execution, initial
from engine.domain.snapshot import FOLD_VERSION, load
from sql import queries

SQL = queries.load("snapshots")

EVENTS_AT_ONCE = 2_000
REASON_CHARACTERS = 300
NO_FOLD = 0


@dataclass(slots=True)
class Folded:
    """States at the log's end.

    `events` counts what was folded on top of the stored snapshot, `failed` gives the reason why a stream
    cannot be folded, `unknown` are streams that do not exist.
    """

    states: dict[int, Execution] = field(default_factory=dict)
    events: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Tail:
    """A state on its way to the version of its head."""

    state: Execution
    head: int
    folded: int = 0

    @property
    def missing(self) -> int:
        return self.head - self.state.version


async def fold_log(
    connection: asyncpg.Connection, execution_ids: Iterable[int], *, afresh: bool = False
) -> Folded:
    """Fold streams up to their heads; `afresh` ignores their snapshots.

    A stream that cannot be folded is reported and does not stop the others.
    """
    wanted = sorted(set(execution_ids))
    result = Folded()
    rows = await connection.fetch(SQL.standings, wanted, NO_FOLD if afresh else FOLD_VERSION)
    tails: dict[int, _Tail] = {}
    for row in rows:
        tail = _baseline(row)
        if isinstance(tail, str):
            result.failed[row["execution_id"]] = tail
        else:
            tails[row["execution_id"]] = tail
    result.unknown = set(wanted) - {row["execution_id"] for row in rows}
    await _fold_tails(connection, tails, result)
    for execution_id, tail in tails.items():
        if execution_id not in result.failed:
            result.states[execution_id] = tail.state
            result.events[execution_id] = tail.folded
    return result


def try_replay(state: Execution, events: Iterable[RecordedEvent]) -> str | None:
    """Fold events into the state; returns why they cannot be, after which the state is of no use."""
    try:
        replay(state, events)
    except Exception as error:  # noqa: BLE001  # one stream that cannot be folded must not stop the others
        return reason_of(error)
    return None


def reason_of(error: Exception) -> str:
    """An error in one short line."""
    return f"{type(error).__name__}: {error}".replace("\0", " ")[:REASON_CHARACTERS]


def _baseline(row: asyncpg.Record) -> _Tail | str:
    head = row["head_version"]
    if row["state"] is not None and row["version"] <= head:
        try:
            return _Tail(load(orjson.loads(row["state"])), head)
        except (LookupError, TypeError, ValueError) as error:
            return f"the snapshot cannot be read: {reason_of(error)}"
    return _Tail(initial(row["execution_id"], row["definition_hash"]), head)


async def _fold_tails(connection: asyncpg.Connection, tails: Mapping[int, _Tail], result: Folded) -> None:
    pending = [tail for tail in tails.values() if tail.missing > 0]
    while pending:
        group = list(_fitting(pending))
        pending = pending[len(group) :]
        await _fold_page(connection, group, result)
        pending += [
            tail for tail in group if tail.missing > 0 and tail.state.execution_id not in result.failed
        ]


def _fitting(pending: Sequence[_Tail]) -> Iterator[_Tail]:
    room = EVENTS_AT_ONCE
    for tail in pending:
        if room <= 0:
            return
        room -= tail.missing
        yield tail


async def _fold_page(connection: asyncpg.Connection, group: Sequence[_Tail], result: Folded) -> None:
    ids = [tail.state.execution_id for tail in group]
    versions = [tail.state.version for tail in group]
    events: dict[int, list[RecordedEvent]] = {execution_id: [] for execution_id in ids}
    for row in await connection.fetch(SQL.tails, ids, versions, EVENTS_AT_ONCE):
        execution_id = row["execution_id"]
        if execution_id in result.failed:
            continue
        try:
            events[execution_id].append(from_row(row))
        except ValueError as error:
            result.failed[execution_id] = f"version {row['version']}: {reason_of(error)}"
    for tail in group:
        execution_id = tail.state.execution_id
        if execution_id not in result.failed:
            _fold_into(tail, events[execution_id], result)


def _fold_into(tail: _Tail, events: Sequence[RecordedEvent], result: Folded) -> None:
    execution_id = tail.state.execution_id
    if not events:
        result.failed[execution_id] = f"the log ends at version {tail.state.version} of {tail.head}"
        return
    failure = try_replay(tail.state, events)
    if failure is None:
        tail.folded += len(events)
    else:
        result.failed[execution_id] = failure
