"""Which events of a group the log has already, asked with one index lookup an event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from engine.domain.admit import DUPLICATE
from engine.domain.events import content_hash as hash_of
from engine.write.keys import Pending
from engine.write.requests import Outcome, Request
from engine.write.store import columns
from engine.write.stream import Stream, ids_to_probe, needs_probe
from sql import queries

SQL = queries.load("append")

Known = dict[int, dict[int, bytes]]
"""Content hashes of recorded events, by execution and event id."""


async def probe_foreign(
    connection: asyncpg.Connection, pending: Pending, heads: Mapping[int, asyncpg.Record]
) -> tuple[Known, Pending]:
    """What is recorded of the events for foreign executions, and the requests that are not yet answered.

    A request that repeats only recorded events is answered here: its execution's state is never loaded.
    """
    grown = {
        execution_id
        for execution_id, head in heads.items()
        if head["definition_hash"] is None and head["version"]
    }
    known = await _recorded(
        connection,
        [
            (request.execution_id, event.event_id)
            for request, _ in pending
            if request.execution_id in grown
            for event in request.events
            if event.event_id is not None
        ],
    )
    if not known:
        return {}, pending
    left: Pending = []
    for request, outcome in pending:
        if request.execution_id in known and _is_repeat(request, known[request.execution_id]):
            _answer_repeat(request, outcome, heads[request.execution_id])
        else:
            left.append((request, outcome))
    return known, left


async def probe_native(connection: asyncpg.Connection, streams: Iterable[Stream]) -> None:
    """Tell streams, all of executions of ours, which of the events for them are recorded."""
    native = {stream.execution_id: stream for stream in streams}
    known = await _recorded(
        connection,
        [
            (stream.execution_id, event_id)
            for stream in native.values()
            for request, _ in stream.requests
            for event in request.events
            if needs_probe(event, stream.state)
            for event_id in ids_to_probe(event)
        ],
    )
    for execution_id, hashes in known.items():
        native[execution_id].known.update(hashes)


async def _recorded(connection: asyncpg.Connection, wanted: Sequence[tuple[int, int]]) -> Known:
    known: Known = defaultdict(dict)
    if wanted:
        hashes = await connection.fetchval(SQL.probe, *columns(wanted))
        for (execution_id, event_id), content_hash in zip(wanted, hashes, strict=True):
            if content_hash is not None:
                known[execution_id][event_id] = content_hash
    return known


def _is_repeat(request: Request, known: Mapping[int, bytes]) -> bool:
    return all(
        event.event_id is not None and known.get(event.event_id) == hash_of(event) for event in request.events
    )


def _answer_repeat(request: Request, outcome: Outcome, head: asyncpg.Record) -> None:
    outcome.verdicts = [DUPLICATE for _ in request.events]
    outcome.version = head["version"]
    outcome.status = head["status"]
