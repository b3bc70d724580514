"""`/projection/*`: snapshots brought forward, folded anew, and proven against the log."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from engine.read import projection, verify
from engine.read.projection import Projected
from engine.runtime.database import Connection
from engine.runtime.http import json_response
from engine.write.audit import listed, note
from internal_api.api import API, Api
from internal_api.audit import actor_of
from internal_api.bodies import Fields, read_fields

MOST_SAMPLED = 10_000

routes = web.RouteTableDef()


@routes.post("/projection/advance")
async def advance(request: web.Request) -> web.Response:
    """Bring snapshots up to the log's end; what fails never stops the rest."""
    fields = await read_fields(request)
    execution_ids = fields.ids("execution_ids")
    fields.close()
    api = request.app[API]
    async with api.borrow() as connection:
        result = await projection.advance(connection, execution_ids)
    _announce(api, result)
    advanced = [
        {"execution_id": execution_id, "version": version, "events": result.events.get(execution_id, 0)}
        for execution_id, version in result.versions.items()
    ]
    return json_response({"advanced": advanced, "failed": _failed(result)})


@routes.post("/projection/rebuild")
async def rebuild(request: web.Request) -> web.Response:
    """Fold from the first event and write the snapshots anew; audited first, as it commits by and by."""
    actor = actor_of(request)
    fields = await read_fields(request)
    api = request.app[API]
    async with api.borrow() as connection:
        execution_ids = await _chosen(connection, fields)
        detail = listed("execution_ids", execution_ids)
        await note(connection, "projection.rebuild", "snapshots", detail, actor=actor)
        result = await projection.rebuild(connection, execution_ids)
    _announce(api, result)
    return json_response({"rebuilt": len(result.versions), "failed": _failed(result)})


@routes.post("/projection/verify")
async def verify_snapshots(request: web.Request) -> web.Response:
    """Compare snapshots with a fresh fold of the log; changes nothing."""
    fields = await read_fields(request)
    async with request.app[API].borrow() as connection:
        result = await verify.verify(connection, await _chosen(connection, fields))
    drifted = [
        {
            "execution_id": drift.execution_id,
            "version": drift.version,
            "stored": drift.stored,
            "fresh": drift.fresh,
            "path": drift.path,
        }
        for drift in result.drifted
    ]
    return json_response(
        {"verified": len(result.verified), "drifted": drifted, "failed": _errors(result.failed)}
    )


async def _chosen(connection: Connection, fields: Fields) -> list[int]:
    """The executions that `execution_ids` names, or a `sample` of that many."""
    if fields.has("sample") and not fields.has("execution_ids"):
        size = fields.integer("sample", least=1, most=MOST_SAMPLED)
        fields.close()
        return await verify.sample(connection, size)
    execution_ids = fields.ids("execution_ids")
    fields.close()
    return execution_ids


def _announce(api: Api, result: Projected) -> None:
    for execution_id in result.written:
        api.projected.add(execution_id, result.versions[execution_id])


def _failed(result: Projected) -> list[dict[str, object]]:
    unknown = dict.fromkeys(result.unknown, "unknown_execution")
    superseded = dict.fromkeys(result.superseded, "superseded")
    return _errors(result.failed | unknown | superseded)


def _errors(failed: Mapping[int, str]) -> list[dict[str, object]]:
    return [{"execution_id": execution_id, "error": error} for execution_id, error in failed.items()]
