"""`/outbox/*`: messages for other publishers, the count for autoscalers, the dead for operators."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from aiohttp import web

from engine.domain.events import iso
from engine.domain.ids import parse_id
from engine.errors import Malformed
from engine.runtime import metrics
from engine.runtime.http import json_response
from engine.write import outbox
from engine.write.after_commit import OUTBOX_TOPIC
from engine.write.parking import MAX_DELAY_SECONDS
from internal_api.api import API
from internal_api.audit import actor_of
from internal_api.bodies import MOST_ITEMS, Fields, query_cursor, query_limit, read_fields, read_query

LEASE_SECONDS = 60
LONGEST_LEASE = 3600
LONGEST_REASON = 2_000
INTEGERS = {"least": -(2**63), "most": 2**31 - 1}
NO_STORE = {"Cache-Control": "no-store"}

routes = web.RouteTableDef()


@routes.post("/outbox/claim")
async def claim(request: web.Request) -> web.Response:
    """Lease the oldest due messages; one execution gives at most `per_execution` of them."""
    fields = await read_fields(request, may_be_absent=True)
    limit = fields.integer("limit", 100, least=1, most=1000)
    lease_seconds = fields.integer("lease_seconds", LEASE_SECONDS, least=1, most=LONGEST_LEASE)
    per_execution = fields.integer("per_execution", 1, least=1, most=1000)
    fields.close()
    async with request.app[API].borrow() as connection:
        claimed = await outbox.claim(connection, limit, lease_seconds, per_execution)
    rows = [_shown(message) for message in claimed]
    return json_response({"rows": rows, "claimed": len(rows)})


def _shown(message: outbox.Claimed) -> dict[str, object]:
    return {
        "outbox_id": message.outbox_id,
        "event_id": message.event_id,
        "execution_id": message.execution_id,
        "first_version": message.first_version,
        "last_version": message.last_version,
        "subject": message.subject,
        "payload": orjson.Fragment(message.payload),
        "payload_codec": "json",
        "headers": message.headers,
        "attempts": message.attempts,
        "lease_token": message.lease_token,
        "leased_until": iso(message.leased_until),
    }


@routes.post("/outbox/mark-published")
async def mark_published(request: web.Request) -> web.Response:
    """Settle published messages; those with a lease token that is not current any more stay, as `stale`."""
    fields = await read_fields(request)
    outbox_ids = fields.ids("outbox_ids")
    lease_tokens = _lease_tokens(fields, len(outbox_ids))
    _check_acks(fields)
    fields.close()
    async with request.app[API].borrow() as connection:
        published = await outbox.mark_published(connection, outbox_ids, lease_tokens)
    metrics.outbox_stale.labels("published").inc(len(published.stale))
    return json_response({"marked": published.marked, "stale": published.stale})


def _lease_tokens(fields: Fields, wanted: int) -> list[int | None] | None:
    if not fields.has("lease_tokens"):
        return None
    items = fields.items("lease_tokens")
    tokens = [parse_id(item) for item in items]
    if len(items) != wanted or any(
        token is None and item is not None for token, item in zip(tokens, items, strict=True)
    ):
        fields.fault("lease_tokens", "must be a list with a token or null for each id", "lease_tokens")
    return tokens


def _check_acks(fields: Fields) -> None:
    """The publisher's own acknowledgements are read and not needed: a claimer's stream may be another."""
    if not fields.has("acks"):
        return
    for item in fields.items("acks", MOST_ITEMS):
        if not isinstance(item, dict) or not {"outbox_id", "stream_seq"} >= item.keys():
            fields.fault("acks", "must be a list of {outbox_id, stream_seq}", "acks")
            return


@routes.post("/outbox/mark-failed")
async def mark_failed(request: web.Request) -> web.Response:
    """Set a message aside with a backoff; one that was published meanwhile is not marked."""
    fields = await read_fields(request)
    outbox_id = fields.id("outbox_id")
    error = fields.text("error")
    attempts = fields.integer("attempts", 1, **INTEGERS)
    max_delay_seconds = fields.integer("max_delay_seconds", MAX_DELAY_SECONDS, **INTEGERS)
    lease_token = fields.optional_id("lease_token")
    fields.close()
    if not error.strip():
        raise Malformed("error is empty", code="empty")
    async with request.app[API].borrow() as connection:
        failed = await outbox.mark_failed(
            connection, outbox_id, error, attempts, max_delay_seconds, lease_token
        )
    metrics.outbox_stale.labels("failed").inc(failed.stale)
    return json_response(asdict(failed))


@routes.get("/outbox/pending-count")
async def pending_count(request: web.Request) -> web.Response:
    """Count what waits to be published; a database that is away is a 503, never a 0."""
    read_query(request, [])
    async with request.app[API].borrow() as connection:
        pending = await outbox.pending_count(connection)
    return json_response(asdict(pending), headers=NO_STORE)


@routes.get("/outbox/dead")
async def dead(request: web.Request) -> web.Response:
    """List messages given up, newest first."""
    query = read_query(request, ["cursor", "limit"])
    cursor = query_cursor(query)
    limit = query_limit(query)
    async with request.app[API].borrow() as connection:
        page, following = await outbox.dead(connection, cursor, limit)
    rows = [
        asdict(message) | {"created_at": iso(message.created_at), "died_at": iso(message.died_at)}
        for message in page
    ]
    return json_response({"rows": rows, "next_cursor": following})


@routes.post("/outbox/redrive")
async def redrive(request: web.Request) -> web.Response:
    """Put dead messages back to be published: those named, or all."""
    actor = actor_of(request)
    fields = await read_fields(request)
    outbox_ids = _named_or_all(fields)
    fields.close()
    api = request.app[API]
    async with api.borrow() as connection:
        redriven = await outbox.redrive(connection, outbox_ids, actor=actor)
    if redriven:
        api.send(OUTBOX_TOPIC, b"")
    return json_response({"redriven": redriven})


@routes.post("/outbox/discard")
async def discard(request: web.Request) -> web.Response:
    """Remove dead messages for good: those named, or all; the reason is kept in the audit."""
    actor = actor_of(request)
    fields = await read_fields(request)
    outbox_ids = _named_or_all(fields)
    reason = fields.text("reason")
    if len(reason) > LONGEST_REASON:
        fields.fault("reason", f"must have at most {LONGEST_REASON} characters", "length")
    fields.close()
    if not reason.strip():
        raise Malformed("reason is empty", code="empty")
    async with request.app[API].borrow() as connection:
        discarded = await outbox.discard(connection, outbox_ids, reason=reason, actor=actor)
    return json_response({"discarded": discarded})


def _named_or_all(fields: Fields) -> list[int] | None:
    """The ids of `outbox_ids`, or None for `all`; both at once are a fault."""
    if not fields.boolean("all"):
        return fields.ids("outbox_ids")
    if fields.has("outbox_ids"):
        fields.items("outbox_ids")
        fields.fault("outbox_ids", "is not for all", "exclusive")
    return None
