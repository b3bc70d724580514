"""`/retention/holds`: what no purge may remove."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from aiohttp import web

from engine.domain.events import iso
from engine.domain.ids import MAX_ID, first_id_at
from engine.domain.json_values import Unstorable
from engine.domain.normalize import time_of
from engine.domain.retention import Range
from engine.errors import NotFound
from engine.runtime.http import json_response
from engine.write import holds
from internal_api.api import API
from internal_api.audit import actor_of
from internal_api.bodies import VISIBLE, Fields, query_limit, query_name, read_fields, read_query

MOST_CHARACTERS = 2_000

routes = web.RouteTableDef()


@routes.get("/retention/holds")
async def list_holds(request: web.Request) -> web.Response:
    """A page of holds by name."""
    query = read_query(request, ["cursor", "limit"])
    cursor = query_name(query, "cursor")
    limit = query_limit(query)
    async with request.app[API].borrow() as connection:
        page, following = await holds.holds(connection, cursor, limit)
    shown = [asdict(each) | {"created_at": iso(each.created_at)} for each in page]
    return json_response({"holds": shown, "next_cursor": following})


@routes.post("/retention/holds")
async def place_hold(request: web.Request) -> web.Response:
    """Hold executions back: one, or those started between two times, or all. The same name moves the hold."""
    actor = actor_of(request)
    fields = await read_fields(request)
    name = fields.name("name")
    reason = fields.text("reason")
    if not reason.strip() or len(reason) > MOST_CHARACTERS or "\0" in reason:
        fields.fault("reason", f"must be a text of 1 to {MOST_CHARACTERS} characters", "text")
    held = _range(fields)
    fields.close()
    async with request.app[API].borrow() as connection:
        purged = await holds.place(connection, name, held, reason, actor=actor)
    return json_response({"name": name, "low_id": held.low, "high_id": held.high, "purged": purged})


@routes.delete("/retention/holds/{name}")
async def lift_hold(request: web.Request) -> web.Response:
    """End a hold."""
    name, actor = request.match_info["name"], actor_of(request)
    if not VISIBLE.fullmatch(name):
        raise NotFound("no hold has such a name", code="unknown_hold")
    async with request.app[API].borrow() as connection:
        await holds.lift(connection, name, actor=actor)
    return json_response({"lifted": True})


def _range(fields: Fields) -> Range:
    execution_id = fields.optional_id("execution_id")
    since, until = _time(fields, "from"), _time(fields, "to")
    if execution_id is not None:
        if since is not None or until is not None:
            fields.fault("execution_id", "stands alone, without from and to", "range")
        return Range(execution_id, min(MAX_ID, execution_id + 1))
    low = 0 if since is None else _within(first_id_at(since))
    high = MAX_ID if until is None else _within(first_id_at(until))
    if low >= high:
        fields.fault("to", "must be later than from and than 2024", "range")
    return Range(low, high)


def _within(execution_id: int) -> int:
    return min(MAX_ID, max(0, execution_id))


def _time(fields: Fields, name: str) -> datetime | None:
    try:
        return time_of(fields.text(name, "") or None, naive=False)
    except Unstorable as refusal:
        fields.fault(name, refusal.detail, refusal.code)
        return None
