"""`/payloads/{sha256}`: outputs too large for the log, stored before a result refers to them."""

from __future__ import annotations

from aiohttp import web

from engine.domain.handles import SHA256_HEX, PayloadKey
from engine.domain.ids import parse_id
from engine.errors import Invalid, Malformed, NotFound
from engine.read import payloads as reading
from engine.runtime.http import json_response, read_body
from engine.write import payloads
from internal_api.api import API
from internal_api.bodies import read_query

BYTES = "application/octet-stream"

routes = web.RouteTableDef()


@routes.put("/payloads/{sha256}")
async def put(request: web.Request) -> web.Response:
    """Store the body for an execution under its hash; sending it again changes nothing."""
    key = _key(request)
    api = request.app[API]
    async with api.uploads:
        body = await read_body(request)
        if not body:
            raise Malformed("the request needs a body", code="empty")
        async with api.borrow() as connection:
            return json_response({"stored": await payloads.store(connection, key, body)})


@routes.get("/payloads/{sha256}")
async def get(request: web.Request) -> web.Response:
    """The bytes as they were stored."""
    key = _key(request)
    async with request.app[API].borrow() as connection:
        body = await reading.body(connection, key)
    if body is None:
        raise NotFound("the execution has no such payload", code="unknown_payload")
    return web.Response(body=body, content_type=BYTES, headers={"ETag": f'"{key.sha256.hex()}"'})


def _key(request: web.Request) -> PayloadKey:
    name = request.match_info["sha256"]
    execution_id = parse_id(read_query(request, ["execution_id"]).get("execution_id"))
    faults = []
    if not SHA256_HEX.fullmatch(name):
        msg = "must be 64 hexadecimal digits in lower case"
        faults.append({"loc": ["sha256"], "msg": msg, "type": "hash"})
    if execution_id is None:
        faults.append({"loc": ["execution_id"], "msg": "must be an identifier", "type": "id"})
    if execution_id is None or faults:
        raise Invalid("the request is not as this route expects it", errors=faults)
    return PayloadKey(execution_id, bytes.fromhex(name))
