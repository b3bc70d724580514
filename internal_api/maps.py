"""`/maps/{execution_id}/{step}/{span}/{what}`: what the items of a map gave, for who refers to it."""

from __future__ import annotations

import re

from aiohttp import web

from engine.domain.handles import MapKey, parse_map_uri
from engine.errors import Invalid, NotFound
from engine.read import map_outputs
from internal_api.api import API
from internal_api.bodies import read_query

VERSION = re.compile(r"[0-9]{1,9}")

routes = web.RouteTableDef()


@routes.get("/maps/{execution_id}/{step}/{span}/{what}")
async def get(request: web.Request) -> web.Response:
    """A page of the events that tell it: `{total, events: [[item, type, payload]], after}`.

    `after` is the version that leads on, null at the end; outputs that are payloads stay references.
    """
    key = _key(request)
    after = _after(request)
    async with request.app[API].borrow() as connection:
        page = await map_outputs.page(connection, key, after)
    return web.Response(body=_encoded(page), content_type="application/json")


def _key(request: web.Request) -> MapKey:
    """The map that the path names, as the address of a reference does."""
    path = "/".join(request.match_info[name] for name in ("execution_id", "step", "span", "what"))
    key = parse_map_uri(f"map:{path}")
    if key is None:
        raise NotFound("there is no such map", code="unknown_payload")
    return key


def _after(request: web.Request) -> int:
    text = read_query(request, ["after"]).get("after", "0")
    if not VERSION.fullmatch(text):
        errors = [{"loc": ["after"], "msg": "must be a version", "type": "integer"}]
        raise Invalid("the query is not as this route expects it", errors=errors)
    return int(text)


def _encoded(page: map_outputs.Page) -> bytes:
    """The page as JSON; payloads go along as the log holds them."""
    events = [
        b'[%d,"%s",%s]' % (item, event_type.encode(), payload) for item, event_type, payload in page.events
    ]
    after = b"null" if page.after is None else b"%d" % page.after
    return b'{"total":%d,"events":[%s],"after":%s}' % (page.total, b",".join(events), after)
