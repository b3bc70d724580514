"""`/workers`: who works, and when each was last seen."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from engine.domain.events import iso
from engine.read.workers import workers
from engine.runtime.http import json_response
from internal_api.api import API
from internal_api.bodies import query_limit, query_name, read_query

routes = web.RouteTableDef()


@routes.get("/workers")
async def list_workers(request: web.Request) -> web.Response:
    """A page of processes and workers by name."""
    query = read_query(request, ["cursor", "limit"])
    cursor = query_name(query, "cursor")
    limit = query_limit(query)
    async with request.app[API].borrow() as connection:
        page, following = await workers(connection, cursor, limit)
    shown = [
        asdict(worker) | {"started_at": iso(worker.started_at), "seen_at": iso(worker.seen_at)}
        for worker in page
    ]
    return json_response({"workers": shown, "next_cursor": following})
