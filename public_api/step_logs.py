"""`/executions/{id}/logs`: the lines that tools wrote, by page or as they arrive."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Annotated

from aiohttp import web
from pydantic import Field

from engine.domain.events import iso
from engine.errors import Malformed
from engine.read import step_logs
from engine.read.retention import missing
from engine.read.step_logs import Line, Lines, Place
from engine.runtime.database import checkout
from public_api import answers, fields
from public_api.answers import EndOfLogs, LogLine, LogPage
from public_api.event_source import LAST_EVENT_ID, Source, block
from public_api.live import patiently
from public_api.query import Query
from public_api.routes import Call, Group
from public_api.watch import Watcher

MAX_LINES = 1_000
STRAGGLER_SECONDS = 5.0
"""How long after its end an execution's last lines may arrive: workers send them by the half second."""
SETTLING_SECONDS = 0.1

routes = Group()

_PLACE = re.compile(r"([0-9]{1,18})-([0-9]{1,19})-([0-9]{1,10})")
_LARGEST = 2**63 - 1


class LogsQuery(Query):
    """Which lines: of a step, of an attempt, after one; `follow` streams them, also those to come."""

    step: fields.Text | None = None
    attempt: Annotated[fields.Whole, Field(ge=0, le=fields.MAX_VERSION)] | None = None
    after: str | None = None
    limit: Annotated[fields.Whole, Field(ge=1, le=MAX_LINES)] = 200
    follow: fields.Flag = False


@dataclass(slots=True)
class Reader:
    """One who reads lines, and how far it has come."""

    call: Call
    execution_id: int
    query: LogsQuery
    place: Place = field(default_factory=Place)

    async def read(self) -> Lines:
        """The next lines; raises `NotFound` or `Purged`."""
        async with checkout(self.call.api.pool) as connection:
            found = await step_logs.after(
                connection,
                self.execution_id,
                self.place,
                step=self.query.step,
                attempt=self.query.attempt,
                limit=self.query.limit,
            )
            if found is None:
                raise await missing(connection, self.execution_id)
        if found.lines:
            self.place = found.lines[-1].place
        return found


@routes.add(
    "GET",
    "/executions/{execution_id}/logs",
    answers={200: LogPage},
    problems=(400, 404, 410, 422, 503),
    messages={"message": LogLine, "end": EndOfLogs},
)
async def logs(call: Call, *, execution_id: int, query: LogsQuery) -> web.StreamResponse:
    """List the lines that tools wrote in the order in which they arrived, or stream them with `follow`.

    The stream ends some seconds after the execution: `end` is the last message.
    """
    given = call.request.headers.get(LAST_EVENT_ID, query.after) if query.follow else query.after
    reader = Reader(call, execution_id, query, Place() if given is None else _place(given))
    if not query.follow:
        found = await reader.read()
        onwards = _id(reader.place) if found.is_full else None
        content: LogPage = {"items": [_shown(line) for line in found.lines], "next_after": onwards}
        return answers.page(call.request, content, after=onwards)
    live = call.api.live
    with live.sources.admitted(call.request) as admitted, live.logged.watching(execution_id) as watcher:
        return await live.sources.serve(admitted, _followed(reader, await reader.read(), watcher))


async def _followed(reader: Reader, found: Lines, watcher: Watcher) -> Source:
    """The lines after a place, page by page, and then as they arrive."""
    while True:
        if found.lines:
            yield b"".join(block(_shown(line), place=_id(line.place)) for line in found.lines)
        if not found.is_full:
            if _has_ended(found):
                end: EndOfLogs = {"status": found.status}
                yield block(end, event="end")
                return
            await _news(reader.call, found, watcher)
        found = await patiently(reader.read)


def _has_ended(found: Lines) -> bool:
    seconds = found.ended_seconds
    return not found.is_waiting and seconds is not None and seconds >= STRAGGLER_SECONDS


async def _news(call: Call, found: Lines, watcher: Watcher) -> None:
    """Wait until there may be more lines, or until nobody sends any more."""
    if found.is_waiting:
        await asyncio.sleep(SETTLING_SECONDS)
        return
    seconds = None if found.ended_seconds is None else STRAGGLER_SECONDS - found.ended_seconds
    await call.api.live.logged.rest(watcher, seconds)
    watcher.beyond = max(watcher.beyond, watcher.level)


def _shown(line: Line) -> LogLine:
    return {
        "id": _id(line.place),
        "step": line.step,
        "attempt": line.attempt,
        "command_id": str(line.place.command_id),
        "seq": line.place.seq,
        "stream": line.stream,
        "line": line.line,
        "logged_at": iso(line.logged_at),
    }


def _id(place: Place) -> str:
    return f"{place.arrived}-{place.command_id}-{place.seq}"


def _place(given: str) -> Place:
    parts = _PLACE.fullmatch(given)
    place = Place() if parts is None else Place(*map(int, parts.groups()))
    if parts is None or place.command_id > _LARGEST or place.seq > fields.MAX_VERSION:
        raise Malformed("after and Last-Event-ID must be the id of a line", code="bad_last_event_id")
    return place
