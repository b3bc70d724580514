"""`/executions/{execution_id}/maps`: what the items of a map gave."""

from __future__ import annotations

from aiohttp import web

from engine.domain.handles import MOST_BYTES, parse_map_uri
from engine.errors import NotFound
from engine.read import history, map_outputs
from engine.runtime.database import checkout
from public_api import answers, fields
from public_api.routes import Call, Group

routes = Group()


@routes.add(
    "GET",
    "/executions/{execution_id}/maps/{step}/{span}/{what}",
    answers={200: bytes, 304: type(None)},
    problems=(404, 413),
)
async def map_output(call: Call, *, execution_id: int, step: str, span: str, what: str) -> web.Response:
    """Return the list to which an output refers as `map:<execution_id>/<step>/<span>/<what>`."""
    key = parse_map_uri(f"map:{execution_id}/{step}/{span}/{what}")
    async with checkout(call.api.pool) as connection:
        if await history.head(connection, execution_id) is None:
            raise fields.unknown_execution(execution_id)
        if key is None:
            raise NotFound("the execution has no such map", code="unknown_payload")
        body = await map_outputs.body(connection, key, MOST_BYTES)
    return answers.content(call.request, body, key.uri)
