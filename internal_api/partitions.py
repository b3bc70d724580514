"""`/partitions`: the pieces of the log, its payloads and step logs."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from engine.domain.events import iso
from engine.domain.ids import moment_of
from engine.read.retention import partitions
from engine.runtime.http import json_response
from internal_api.api import API
from internal_api.bodies import query_limit, query_name, read_query

routes = web.RouteTableDef()


@routes.get("/partitions")
async def list_partitions(request: web.Request) -> web.Response:
    """A page of partitions by name, each with its bounds as ids and as times, and what is seen to hold it."""
    query = read_query(request, ["cursor", "limit"])
    cursor = query_name(query, "cursor")
    limit = query_limit(query)
    async with request.app[API].borrow() as connection:
        page, following = await partitions(connection, cursor, limit)
    shown = [
        asdict(each) | {"low_at": iso(moment_of(each.low_id)), "high_at": iso(moment_of(each.high_id))}
        for each in page
    ]
    return json_response({"partitions": shown, "next_cursor": following})
