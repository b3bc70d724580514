"""`/incidents`: what is stuck or broken and wants a person."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from engine.domain.events import iso
from engine.errors import Invalid
from engine.read.incidents import Incident, incidents
from engine.runtime.http import json_response
from internal_api.api import API
from internal_api.bodies import query_cursor, query_limit, read_query

STATES = {"open": True, "resolved": False}

routes = web.RouteTableDef()


@routes.get("/incidents")
async def list_incidents(request: web.Request) -> web.Response:
    """A page of incidents, newest first: all, or those of `state`, which is open or resolved."""
    query = read_query(request, ["cursor", "limit", "state"])
    cursor = query_cursor(query)
    limit = query_limit(query)
    is_open = _state(query)
    async with request.app[API].borrow() as connection:
        page, following = await incidents(connection, cursor, limit, is_open=is_open)
    return json_response({"incidents": [_shown(incident) for incident in page], "next_cursor": following})


def _state(query: dict[str, str]) -> bool | None:
    state = query.get("state")
    if state is not None and state not in STATES:
        errors = [{"loc": ["state"], "msg": "must be open or resolved", "type": "state"}]
        raise Invalid("the query is not as this route expects it", errors=errors)
    return None if state is None else STATES[state]


def _shown(incident: Incident) -> dict[str, object]:
    resolved_at = incident.resolved_at
    return asdict(incident) | {
        "opened_at": iso(incident.opened_at),
        "seen_at": iso(incident.seen_at),
        "resolved_at": None if resolved_at is None else iso(resolved_at),
    }
