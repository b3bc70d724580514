"""`/executions/{execution_id}/incidents`: what stands in the way of an execution."""

from __future__ import annotations

from aiohttp import web

from engine.domain.events import iso
from engine.domain.incidents import CATALOG, IncidentKind
from engine.read import executions, history
from engine.read.incidents import Incident
from engine.read.retention import missing
from engine.runtime.database import checkout
from public_api import answers
from public_api.answers import IncidentItem, IncidentList
from public_api.routes import Call, Group

routes = Group()


@routes.add("GET", "/executions/{execution_id}/incidents", answers={200: IncidentList}, problems=(404, 410))
async def incidents(call: Call, *, execution_id: int) -> web.Response:
    """List the open incidents of an execution and of the pools whose workers it waits for, oldest first."""
    async with checkout(call.api.pool) as connection:
        found = await executions.incidents(connection, execution_id)
        if not found and await history.head(connection, execution_id) is None:
            raise await missing(connection, execution_id)
    return answers.document({"items": [_shown(incident) for incident in found]})


def _shown(incident: Incident) -> IncidentItem:
    return {
        "kind": incident.kind,
        "subject": incident.subject,
        "detail": incident.detail,
        "remedy": CATALOG[IncidentKind(incident.kind)].remedy,
        "opened_at": iso(incident.opened_at),
        "seen_at": iso(incident.seen_at),
    }
