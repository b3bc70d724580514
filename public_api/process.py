"""The public API's process: its routes, the desk they write through, and the wakes for those who wait."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import structlog
from aiohttp import web

from engine.domain.subjects import APPENDED_TOPIC, STEP_LOGS_TOPIC
from engine.errors import Misconfigured
from engine.read import executions
from engine.read.executions import Found
from engine.read.projection import SNAPSHOTS_TOPIC
from engine.runtime.broker import connecting
from engine.runtime.bus import Bus, OpenTail
from engine.runtime.checks import checked_pool
from engine.runtime.database import Pool, checkout, reconnector
from engine.runtime.health import Health, probes
from engine.runtime.http import make_app, serve
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import HttpSettings, PublicApiProcess
from engine.runtime.stream import EventStream
from engine.runtime.tail import StreamTail
from engine.write.desk import open_desk
from public_api import access, incidents, maps, operating, playbooks, reading, step_logs, streaming
from public_api import executions as commands
from public_api.live import open_live, projected_levels
from public_api.routes import Api, bind
from public_api.waiters import Read, Waiters
from public_api.watch import SafetyLook, Watch

_log = structlog.get_logger(__name__)

NAME = "playlog-public-api"
RECONNECT_SECONDS = 2.0

ROUTES = [
    *playbooks.routes.routes,
    *commands.routes.routes,
    *operating.routes.routes,
    *reading.routes.routes,
    *incidents.routes.routes,
    *maps.routes.routes,
    *streaming.routes.routes,
    *step_logs.routes.routes,
]


def main() -> int:
    """Run a public API until SIGTERM; return the exit code."""
    return run_process("public-api", run, PublicApiProcess)


async def run(context: ProcessContext[PublicApiProcess]) -> None:
    """Serve until told to stop.

    NATS is not part of being ready: without it nothing is refused, only those who wait are told later.
    """
    async with connecting(context.settings, name=NAME) as broker:
        stream = EventStream(broker, context.settings)
        await serve_public(context, broker, partial(StreamTail, broker, stream))


async def serve_public(context: ProcessContext[PublicApiProcess], bus: Bus, open_tail: OpenTail) -> None:
    """Open what the routes need and serve them until told to stop."""
    settings = context.settings
    access.check(settings)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(checked_pool(settings, context.health, name=NAME))
        waiters = Waiters(reader(pool), Watch(projected_levels(pool)))
        live = await stack.enter_async_context(open_live(settings, pool, open_tail))
        safety_look = SafetyLook(waiters.watch, live.recorded, live.logged)
        await bus.listen(SNAPSHOTS_TOPIC, waiters.heard)
        await bus.listen(APPENDED_TOPIC, live.recorded.heard)
        await bus.listen(STEP_LOGS_TOPIC, live.logged.heard)
        reconnect = reconnector(settings, name=NAME, seconds=RECONNECT_SECONDS)
        desk = await stack.enter_async_context(open_desk(reconnect, partial(checkout, pool), bus.announce))
        api = Api(pool=pool, desk=desk, waiters=waiters, live=live)
        app = make_public_app(api, context.health, settings)
        await context.run_roles(
            [desk.deliveries, safety_look],
            wakes={desk.deliveries.name: desk.after.delivery_wake, safety_look.name: safety_look.wake},
            others=[_serve(context, app, api)],
        )


def make_public_app(api: Api, health: Health, settings: HttpSettings) -> web.Application:
    """The application with every route of the public API."""
    app = make_app([*bind(ROUTES, api), *probes(health)], settings)
    app.middlewares.append(access.only_local)
    return app


def reader(pool: Pool) -> Read:
    """Reads an execution for those who wait."""

    async def read(execution_id: int) -> Found | None:
        async with checkout(pool) as connection:
            return await executions.get(connection, execution_id)

    return read


async def _serve(context: ProcessContext[PublicApiProcess], app: web.Application, api: Api) -> None:
    settings = context.settings
    try:
        server = await serve(app, settings.public_api_port)
    except OSError as error:
        where = f"{settings.host}:{settings.public_api_port}"
        raise Misconfigured(f"PLAYLOG_PUBLIC_API_PORT: cannot listen on {where}: {error.strerror}") from error
    _log.info("http.listening", host=settings.host, port=server.port)
    await context.stop.wait()
    api.live.sources.close()
    api.waiters.watch.close()
    await server.close()
