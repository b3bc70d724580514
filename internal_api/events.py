"""`/events/*`: batches of events, of this engine's executions and of other systems'."""

from __future__ import annotations

import json
import math
import re

from aiohttp import web

from engine.errors import Invalid, Malformed
from engine.runtime.http import json_response, read_body, read_json
from engine.write.materialize import MOST_EVENTS, Materialized
from internal_api.api import API
from internal_api.bodies import read_fields, refuse_body

MOST_KEY_CHARACTERS = 255
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

routes = web.RouteTableDef()


@routes.post("/events/materialize")
async def materialize(request: web.Request) -> web.Response:
    """Record a bare array of native events; each bad one is rejected by its index.

    With an `Idempotency-Key`, events without an id of their own may be sent again under the same key.
    """
    batch = await _read_batch(request)
    if batch is None:
        raise Malformed("the request needs a body", code="empty")
    if not isinstance(batch, list):
        refuse_body("array")
    answer = await request.app[API].intake.materialize(batch, _idempotency_key(request))
    return json_response(
        {
            "materialized": answer.materialized,
            "duplicates": answer.duplicates,
            "rejected": _shown(answer),
            "late": answer.late,
            "minted": answer.minted,
            "versions": {str(execution_id): version for execution_id, version in answer.versions.items()},
        }
    )


@routes.post("/events/project")
async def project(request: web.Request) -> web.Response:
    """Record row-shaped events of other systems; unknown executions become foreign ones."""
    fields = await read_fields(request)
    rows = fields.items("events", MOST_EVENTS)
    fields.close()
    if not rows:
        raise Malformed("events is empty", code="empty")
    answer = await request.app[API].intake.project(rows)
    return json_response(
        {"projected": answer.materialized, "duplicates": answer.duplicates, "rejected": _shown(answer)}
    )


async def _read_batch(request: web.Request) -> object:
    """The body as JSON, also when only half a character stands in the way: its event is to be rejected."""
    body = await read_body(request)
    try:
        return await read_json(request)
    except Malformed as refusal:
        if refusal.code != Malformed.code or not _SURROGATE.search(body):
            raise
        try:
            return json.loads(body.decode(), parse_float=_finite, parse_constant=_finite)
        except (ValueError, RecursionError):
            raise refusal from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a number of JSON")
    return value


def _shown(answer: Materialized) -> list[dict[str, object]]:
    return [
        {"index": refused.index, "code": refused.code, "detail": refused.detail}
        for refused in answer.rejected
    ]


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MOST_KEY_CHARACTERS and key.isascii() and key.isprintable()):
        raise Invalid("Idempotency-Key is 1 to 255 printable ASCII characters", code="idempotency_key")
    return key
