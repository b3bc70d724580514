"""`/executions/{id}/stream` and `/events/stream`: events as they are recorded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from aiohttp import web
from pydantic import Field

from engine.domain.events import to_json
from engine.errors import Malformed
from engine.read import tails
from engine.read.retention import missing
from engine.runtime.bus import BEGINNING, Place, Tail, Told
from engine.runtime.database import checkout
from public_api import answers, fields
from public_api.answers import EndOfExecution, Event, EventOfExecution, EventStream, Reset
from public_api.event_source import LAST_EVENT_ID, Source, block
from public_api.feed import READ_SECONDS, Client, Feed, Wanted, portions
from public_api.live import patiently
from public_api.query import Query
from public_api.routes import Call, Group
from public_api.watch import Watcher

routes = Group()

_PLACE = re.compile(r"([0-9]{1,9})-([0-9]{1,18})(?:-([0-9]{1,9}))?")
_VERSION = re.compile(r"[0-9]{1,10}")


class StreamQuery(Query):
    """Where to begin, unless `Last-Event-ID` says so, and which types of events."""

    after_version: Annotated[fields.Whole, Field(ge=0, le=fields.MAX_VERSION)] = 0
    types: fields.Words | None = None


class FeedQuery(Query):
    """Which events: of one playbook, of some types, with some statuses."""

    playbook: fields.Text | None = None
    types: fields.Words | None = None
    status: fields.Words | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a client has come to: a message, and the number of an event in it, None for the whole."""

    place: Place
    number: int | None


@routes.add(
    "GET",
    "/executions/{execution_id}/stream",
    answers={200: EventStream, 204: type(None)},
    problems=(400, 404, 410, 422, 503),
    messages={"message": Event, "end": EndOfExecution},
)
async def stream(call: Call, *, execution_id: int, query: StreamQuery) -> web.StreamResponse:
    """Stream the events of an execution: all that are recorded, then each as it is, in version order.

    The stream ends when the execution has: `end` is the last message, and going on after that is a 204.
    """
    live = call.api.live
    given = call.request.headers.get(LAST_EVENT_ID)
    version = query.after_version if given is None else _version(given)
    with live.sources.admitted(call.request) as admitted, live.recorded.watching(execution_id) as watcher:
        tail = await live.tails.after(execution_id, version)
        if tail is None:
            async with checkout(call.api.pool) as connection:
                raise await missing(connection, execution_id)
        if version > tail.head_version:
            raise _bad_id(f"the log holds no version {version}; it has come to {tail.head_version}")
        if tail.is_ended and version == tail.head_version:
            return web.Response(status=204, headers={"Cache-Control": answers.NOT_STORED})
        source = _followed(call, Position(execution_id, version), tail, watcher, query.types)
        return await live.sources.serve(admitted, source)


@routes.add(
    "GET",
    "/events/stream",
    answers={200: EventStream},
    problems=(400, 422, 503),
    messages={"message": EventOfExecution, "reset": Reset},
)
async def stream_all(call: Call, *, query: FeedQuery) -> web.StreamResponse:
    """Stream the events of all executions as they are published, each at least once.

    It begins now, or after the `Last-Event-ID` with what the stream keeps. `reset` says that what follows
    does not join on to what came before.
    """
    live = call.api.live
    given = call.request.headers.get(LAST_EVENT_ID)
    resume = None if given is None else _resume(given)
    wanted = Wanted(
        playbook=query.playbook,
        types=None if query.types is None else frozenset(query.types),
        status=None if query.status is None else frozenset(query.status),
    )
    with live.sources.admitted(call.request) as admitted:
        async with live.feed.listening() as feed:
            client = feed.client(wanted)
            source = _all(feed, client, resume)
            return await live.sources.serve(admitted, source, ping=client.ping)


@dataclass(slots=True)
class Position:
    """How far a client has been told of an execution."""

    execution_id: int
    version: int


async def _followed(
    call: Call, position: Position, tail: tails.Tail | None, watcher: Watcher, types: tuple[str, ...] | None
) -> Source:
    """The events after a position, page by page, and then as they are recorded."""
    live = call.api.live
    while tail is not None:
        for event in tail.events:
            position.version = event.version
        found = [event for event in tail.events if types is None or event.event_type in types]
        if found:
            yield b"".join(block(to_json(event), place=str(event.version)) for event in found)
        if position.version >= tail.head_version:
            if tail.is_ended:
                yield _end(tail)
                return
            watcher.beyond = position.version
            await live.recorded.rest(watcher)
        tail = await patiently(partial(live.tails.after, position.execution_id, position.version))


def _end(tail: tails.Tail) -> bytes:
    end: EndOfExecution = {"version": tail.head_version, "status": tail.status}
    return block(end, event="end", place=str(tail.head_version))


async def _all(feed: Feed, client: Client, resume: Resume | None) -> Source:
    """What the stream keeps after a place, then what comes."""
    try:
        if resume is None:
            client.place = feed.place
            feed.join(client, feed.place)
            yield client.ping()
        else:
            async with aclosing(_caught_up(feed, client, resume)) as history:
                async for found in history:
                    yield found
        while True:
            yield await client.take()
    finally:
        feed.leave(client)


async def _caught_up(feed: Feed, client: Client, resume: Resume) -> Source:
    """Read with a tail of its own until there is nothing that the feed has and the client has not."""
    client.begin(BEGINNING, resume.place.generation)
    if resume.number is None:
        client.place = resume.place
    last = -1 if resume.number is None else resume.number
    tail = feed.tail(resume.place, again=resume.number is not None)
    try:
        while (told := await patiently(partial(_next, feed, tail))) is not None:
            if not tail.follows:
                tail.follows = True
                yield client.broken_off(feed.place.generation)
            for portion in portions(told):
                is_known = portion.place == resume.place
                client.put(portion, after_number=last if is_known else -1)
                if found := client.take_now():
                    yield found
        feed.join(client, tail.place or BEGINNING)
    finally:
        await tail.close()


async def _next(feed: Feed, tail: Tail) -> Sequence[Told] | None:
    """What follows, nothing where the tail broke off; None when it has come to where the feed is."""
    await tail.attach()
    if not tail.follows:
        return ()
    if not tail.again and (tail.place or BEGINNING) >= feed.place:
        return None
    return await tail.read(READ_SECONDS)


def _version(given: str) -> int:
    version = int(given) if _VERSION.fullmatch(given) else -1
    if not 0 <= version <= fields.MAX_VERSION:
        raise _bad_id("Last-Event-ID must be a version, which is the id of an event of this stream")
    return version


def _resume(given: str) -> Resume:
    parts = _PLACE.fullmatch(given)
    if parts is None:
        raise _bad_id("Last-Event-ID must be an id of this stream: generation-sequence-number")
    generation, seq, number = parts.groups()
    return Resume(Place(int(generation), int(seq)), None if number is None else int(number))


def _bad_id(detail: str) -> Malformed:
    return Malformed(detail, code="bad_last_event_id")
