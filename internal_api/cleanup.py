"""`/cleanup/purge`: removes what has outlived its retention."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from engine.runtime.http import json_response
from engine.write.purge import Policy, purge
from internal_api.api import API
from internal_api.audit import actor_of
from internal_api.bodies import read_fields

DAYS = {"least": -(2**63), "most": 36_500}
MINUTES = {"least": -(2**63), "most": 36_500 * 24 * 60}

routes = web.RouteTableDef()


@routes.post("/cleanup/purge")
async def purge_all(request: web.Request) -> web.Response:
    """Purge what is older than its retention; a retention of 0 or less keeps its kind.

    The log goes by whole partitions of which nothing is wanted any more; those kept are told with why.
    """
    actor = actor_of(request)
    fields = await read_fields(request, may_be_absent=True)
    policy = Policy(
        command_retention_days=fields.integer("command_retention_days", 7, **DAYS),
        runtime_stale_minutes=fields.integer("runtime_stale_minutes", 60, **MINUTES),
        event_retention_days=fields.integer("event_retention_days", 0, **DAYS),
        dead_retention_days=fields.integer("dead_retention_days", 0, **DAYS),
        dry_run=fields.boolean("dry_run"),
    )
    fields.close()
    async with request.app[API].borrow() as connection:
        purged = await purge(connection, policy, actor=actor)
    return json_response(asdict(purged))
