"""`/executions`: reading executions, waiting for them, and their logs."""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field, model_validator

from engine.domain.events import to_json
from engine.domain.handles import SHA256_HEX, PayloadKey
from engine.domain.vocabulary import TERMINAL_STATUSES
from engine.errors import Conflict, NotFound, PlaylogError
from engine.read import executions, history, listing, payloads
from engine.read.executions import Found
from engine.read.retention import missing
from engine.runtime.database import checkout
from engine.runtime.http import REQUEST_ID_KEY
from engine.runtime.problems import problem
from public_api import answers, fields
from public_api.answers import EventPage, Execution, ExecutionPage, StepList
from public_api.query import Query, fault, invalid
from public_api.routes import Call, Group
from public_api.waiters import Read

WAIT_SECONDS = 2.0
MAX_WAIT_SECONDS = 30.0
MAX_EVENTS = 500
FOLDED_EVENTS = 1_000
GATEWAY_TIMEOUT = 504

routes = Group()

Wait = Annotated[fields.Seconds, Field(ge=0, le=MAX_WAIT_SECONDS)]


class ListQuery(Query):
    """What a list is narrowed to; `label` is `name` or `name=value`, `search` the begin of an id."""

    status: fields.Text | None = None
    playbook: fields.Text | None = None
    label: fields.Text | None = None
    search: fields.Text | None = None
    started_after: fields.Time | None = None
    started_before: fields.Time | None = None
    order: Literal["asc", "desc"] = "desc"
    limit: Annotated[fields.Whole, Field(ge=1, le=listing.MAX_LIMIT)] = listing.DEFAULT_LIMIT
    cursor: str | None = None

    @model_validator(mode="after")
    def _in_order(self) -> ListQuery:
        if self.started_after and self.started_before and self.started_after > self.started_before:
            raise ValueError("started_after is later than started_before")
        return self


class ReadQuery(Query):
    """`min_version` waits for the projection, at most `wait` seconds."""

    min_version: Annotated[fields.Whole, Field(ge=0, le=fields.MAX_VERSION)] = 0
    wait: Wait = WAIT_SECONDS


class WaitQuery(Query):
    """How long to wait."""

    timeout_seconds: Wait = MAX_WAIT_SECONDS


class EventsQuery(Query):
    """Which events: after a version, and of these types."""

    after_version: Annotated[fields.Whole, Field(ge=0, le=fields.MAX_VERSION)] = 0
    limit: Annotated[fields.Whole, Field(ge=1, le=MAX_EVENTS)] = 100
    types: fields.Words | None = None


@routes.add("GET", "/executions", answers={200: ExecutionPage}, problems=(400, 422))
async def list_executions(call: Call, *, query: ListQuery) -> web.Response:
    """List executions, the newest first unless `order=asc`."""
    filters = listing.Filters(
        status=query.status,
        playbook=query.playbook,
        label=query.label,
        search=query.search,
        started_after=query.started_after,
        started_before=query.started_before,
    )
    async with checkout(call.api.pool) as connection:
        found = await listing.list_executions(
            connection, filters, order=query.order, limit=query.limit, cursor=query.cursor
        )
    content = {"items": found.items, "next_cursor": found.next_cursor}
    return answers.page(call.request, content, cursor=found.next_cursor)


@routes.add(
    "GET",
    "/executions/by-key/{key:.+}",
    answers={200: Execution, 304: type(None)},
    problems=(404, 409, 410, 422),
)
async def by_key(call: Call, *, key: str, query: ReadQuery) -> web.Response:
    """Return the execution that a caller's own key names."""
    execution_id = None
    if len(key) <= fields.MAX_TEXT and not fields.has_control(key):
        async with checkout(call.api.pool) as connection:
            execution_id = await executions.by_key(connection, key)
    if execution_id is None:
        raise NotFound("no execution has that key", code="unknown_execution")
    return await get(call, execution_id=execution_id, query=query)


@routes.add(
    "GET",
    "/executions/{execution_id}",
    answers={200: Execution, 304: type(None)},
    problems=(404, 409, 410, 422),
)
async def get(call: Call, *, execution_id: int, query: ReadQuery) -> web.Response:
    """Return an execution as of its snapshot.

    One that has just been started is waited for, and then read from its log: it is never a 404.
    """
    found = await projected(call, execution_id, query)
    if found is None:
        found = await _from_log(call, execution_id)
    if found is None or found.version < query.min_version:
        raise _stale(found)
    return answers.snapshot(call.request, found)


@routes.add(
    "GET",
    "/executions/{execution_id}/wait",
    answers={200: Execution},
    problems=(404, 410, 422, GATEWAY_TIMEOUT),
)
async def wait(call: Call, *, execution_id: int, query: WaitQuery) -> web.Response:
    """Return an execution as soon as it has ended; 504 when it has not in that time."""
    found = await call.api.waiters.until(
        execution_id, _existing(call), _has_ended, seconds=query.timeout_seconds
    )
    if found is not None and _has_ended(found):
        return answers.snapshot(call.request, found)
    late = PlaylogError(
        f"the execution has not ended within {query.timeout_seconds:g} s",
        code="not_ended",
        status=GATEWAY_TIMEOUT,
        headers=_projection_version(found),
    )
    # Answered, not raised: an execution that takes its time is no failure of this server.
    return problem(late, request_id=call.request[REQUEST_ID_KEY])


@routes.add("GET", "/executions/{execution_id}/steps", answers={200: StepList}, problems=(404, 409, 410, 422))
async def steps(call: Call, *, execution_id: int, query: ReadQuery) -> web.Response:
    """List the steps of an execution in the order of its playbook, also those that have not begun."""
    found = await projected(call, execution_id, query)
    if found is None or found.version < query.min_version:
        raise _stale(found)
    async with checkout(call.api.pool) as connection:
        items = await executions.steps(connection, execution_id)
    return answers.document({"items": items or []}, headers=_projection_version(found))


@routes.add("GET", "/executions/{execution_id}/events", answers={200: EventPage}, problems=(404, 410, 422))
async def events(call: Call, *, execution_id: int, query: EventsQuery) -> web.Response:
    """List the recorded events of an execution in version order, from the log itself."""
    async with checkout(call.api.pool) as connection:
        found = await history.events(
            connection,
            execution_id,
            after_version=query.after_version,
            limit=query.limit + 1,
            types=query.types,
        )
        if not found and await history.head(connection, execution_id) is None:
            raise await missing(connection, execution_id)
    shown = found[: query.limit]
    onwards = shown[-1].version if len(found) > query.limit else None
    content = {"items": [to_json(event) for event in shown], "next_after_version": onwards}
    return answers.page(call.request, content, after_version=onwards)


@routes.add(
    "GET",
    "/executions/{execution_id}/payloads/{sha256}",
    answers={200: bytes, 304: type(None)},
    problems=(404, 422),
)
async def payload(call: Call, *, execution_id: int, sha256: str) -> web.Response:
    """Return a large value, to which an event or an output refers as `payload:<execution_id>/<sha256>`."""
    if not SHA256_HEX.fullmatch(sha256):
        wanted = "must be 64 hexadecimal digits in lower case"
        raise invalid([fault(("path", "sha256"), wanted, "value")], "invalid_hash")
    async with checkout(call.api.pool) as connection:
        body = await payloads.body(connection, PayloadKey(execution_id, bytes.fromhex(sha256)))
        if body is None and await history.head(connection, execution_id) is None:
            raise fields.unknown_execution(execution_id)
    if body is None:
        raise NotFound("the execution has no such payload", code="unknown_payload")
    return answers.content(call.request, body, sha256)


async def projected(call: Call, execution_id: int, query: ReadQuery) -> Found | None:
    """The execution once it is projected up to `min_version`, or what there is of it after `wait`.

    Raises `NotFound` for an unknown one and `Purged` for one that retention has removed.
    """

    def is_there(found: Found | None) -> bool:
        return found is not None and found.version >= query.min_version

    return await call.api.waiters.until(
        execution_id, _existing(call), is_there, seconds=query.wait, least=query.min_version
    )


def _existing(call: Call) -> Read:
    async def read(execution_id: int) -> Found | None:
        async with checkout(call.api.pool) as connection:
            found = await executions.get(connection, execution_id)
            if found is None and await history.head(connection, execution_id) is None:
                raise await missing(connection, execution_id)
        return found

    return read


async def _from_log(call: Call, execution_id: int) -> Found | None:
    """What a snapshot would say; None when the log is too long to be folded for one reader."""
    async with checkout(call.api.pool) as connection:
        standing = await history.head(connection, execution_id)
        if standing is None or not 0 < standing.version <= FOLDED_EVENTS:
            return None
        return await executions.get_at(connection, execution_id, standing.version)


def _has_ended(found: Found | None) -> bool:
    return found is not None and found.document["status"] in TERMINAL_STATUSES


def _projection_version(found: Found | None) -> dict[str, str]:
    return {answers.PROJECTION_VERSION: str(0 if found is None else found.version)}


def _stale(found: Found | None) -> Conflict:
    return Conflict(
        "the projection has not reached that version yet",
        code="stale",
        retry_after=1,
        headers=_projection_version(found),
    )
