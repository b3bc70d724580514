"""`/cleanup/purge`: removes what has outlived its retention."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from engine.runtime.http import json_response
from engine.write.purge import purge
from internal_api.api import API
from internal_api.bodies import read_fields

DAYS = {"least": -(2**63), "most": 36_500}
MINUTES = {"least": -(2**63), "most": 36_500 * 24 * 60}

routes = web.RouteTableDef()


@routes.post("/cleanup/purge")
async def purge_all(request: web.Request) -> web.Response:
    """Purge commands, runtime entries and idempotency answers; a retention of 0 or less skips its kind.

    Partitions of the log are not removed: an `event_retention_days` above 0 is refused with
    `not_supported`, and `event_partitions_dropped` is 0.
    """
    fields = await read_fields(request, may_be_absent=True)
    command_days = fields.integer("command_retention_days", 7, **DAYS)
    runtime_minutes = fields.integer("runtime_stale_minutes", 60, **MINUTES)
    event_days = fields.integer("event_retention_days", 0, **DAYS)
    dry_run = fields.boolean("dry_run")
    fields.close()
    async with request.app[API].borrow() as connection:
        purged = await purge(
            connection,
            command_retention_days=command_days,
            runtime_stale_minutes=runtime_minutes,
            event_retention_days=event_days,
            dry_run=dry_run,
        )
    return json_response(asdict(purged))
