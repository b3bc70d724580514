"""Foreign events of about 400 bytes, as the internal API hears of them: row-shaped or native."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from engine.domain.ids import first_id_at
from engine.write.desk import WRITERS

BATCH_EVENTS = 500
BATCH_EXECUTIONS = 25
BATCHES_AN_EXECUTION = 4
EVENT_BYTES = range(370, 430)

_NOW = datetime.now(UTC).replace(microsecond=0)
_lanes = itertools.count(first_id_at(_NOW), WRITERS * BATCH_EXECUTIONS)
_event_ids = itertools.count(1)

Event = dict[str, Any]
Batch = list[Event]


def batches(count: int, writer: int) -> list[Batch]:
    """New batches of 500 rows over 25 executions of this writer, which each get four batches in a row."""
    found: list[Batch] = []
    executions: Sequence[int] = ()
    for place in range(count):
        if place % BATCHES_AN_EXECUTION == 0:
            executions = new_executions(BATCH_EXECUTIONS, writer)
        found.append([row(each) for _ in range(BATCH_EVENTS // BATCH_EXECUTIONS) for each in executions])
    if len(orjson.dumps(found[0][0])) not in EVENT_BYTES:
        raise AssertionError("an event has another size than the figure says")
    return found


def new_executions(count: int, writer: int) -> list[int]:
    """Ids of at most 25 executions that nobody has used; the writer of an execution is its id's remainder."""
    start = next(_lanes) + writer
    return [start + place * WRITERS for place in range(count)]


def row(execution_id: int) -> Event:
    """The next event of an execution, as another system's log has it."""
    number = next(_event_ids)
    return {
        "execution_id": execution_id,
        "event_id": number,
        "event_type": "step.exit",
        "node_id": f"fetch_{number % 20}",
        "node_name": f"fetch_{number % 20}",
        "status": "COMPLETED",
        "result": _result(number),
        "timestamp": (_NOW + timedelta(milliseconds=number % 1000)).isoformat(),
        "worker_id": "worker-eu-1-7f9c",
    }


def native(event: Event) -> Event:
    """The same event as a producer of native events words it."""
    return {
        "execution_id": str(event["execution_id"]),
        "event_id": str(event["event_id"]),
        "event_type": event["event_type"],
        "step": event["node_name"],
        "status": event["status"],
        "payload": event["result"],
        "created_at": event["timestamp"],
        "worker_id": event["worker_id"],
    }


def _result(number: int) -> dict[str, object]:
    return {
        "status": "COMPLETED",
        "data": {
            "url": f"https://api.example.com/v1/items/{number}",
            "rows": number % 1000,
            "seconds": number % 100 / 8,
            "page": {"next": None, "size": 100, "more": number % 2 == 0},
            "tags": ["daily", "prod"],
        },
    }
