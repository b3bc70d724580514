"""`/audit`: what operators did; and who one of them says to be."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from aiohttp import web

from engine.domain.events import iso
from engine.errors import Malformed
from engine.read.audit import acts
from engine.runtime.http import json_response
from internal_api.api import API
from internal_api.bodies import query_cursor, query_limit, read_query

ACTOR = "X-Playlog-Actor"
NOBODY_NAMED = "internal-api"
LONGEST_ACTOR = 128

routes = web.RouteTableDef()


@routes.get("/audit")
async def list_audit(request: web.Request) -> web.Response:
    """A page of what operators did, newest first."""
    query = read_query(request, ["cursor", "limit"])
    cursor = query_cursor(query)
    limit = query_limit(query)
    async with request.app[API].borrow() as connection:
        page, following = await acts(connection, cursor, limit)
    shown = [
        asdict(act) | {"detail": orjson.Fragment(act.detail or "null"), "at": iso(act.at)} for act in page
    ]
    return json_response({"audit": shown, "next_cursor": following})


def actor_of(request: web.Request) -> str:
    """Who the caller says to be: a token names no person, so that this is a courtesy and no proof.

    Raises `Malformed` (bad_actor) for a name that is repeated, longer than 128 characters or not printable.
    """
    names = request.headers.getall(ACTOR, [])
    if not names:
        return NOBODY_NAMED
    if len(names) > 1 or not names[0].isprintable() or not 1 <= len(names[0]) <= LONGEST_ACTOR:
        raise Malformed(f"{ACTOR} must be one name of at most 128 printable characters", code="bad_actor")
    return names[0]
