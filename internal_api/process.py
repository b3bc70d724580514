"""The process of the internal API: what it opens, in which order it closes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial

from aiohttp import web

from engine.domain.subjects import STEP_LOGS_TOPIC
from engine.errors import Misconfigured
from engine.read.projection import SNAPSHOTS_TOPIC
from engine.runtime.announcer import Announcer
from engine.runtime.broker import connecting
from engine.runtime.bus import Bus
from engine.runtime.checks import checked_pool
from engine.runtime.database import Pool, checkout, reconnector
from engine.runtime.http import serve
from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import DatabaseSettings, InternalApiProcess
from engine.write.after_commit import COMMANDS_TOPIC
from engine.write.desk import open_desk
from engine.write.materialize import Intake
from engine.write.requests import Committed
from internal_api.api import Api
from internal_api.app import build_app
from internal_api.bell import Bell
from internal_api.tokens import Tokens

NAME = "playlog-internal-api"
RECONNECT_SECONDS = 5.0


def main() -> int:
    """Run an internal API until SIGTERM; return the exit code. Several may run at once."""
    return run_process("internal-api", run, InternalApiProcess)


async def run(context: ProcessContext[InternalApiProcess]) -> None:
    """Serve until told to stop; NATS may be away: then nobody elsewhere is woken, and all else works."""
    async with connecting(context.settings, name=NAME) as broker:
        await serve_internal(context, broker)


async def serve_internal(context: ProcessContext[InternalApiProcess], bus: Bus) -> None:
    """Open the API, serve it until told to stop, let requests under way finish."""
    settings = context.settings
    async with (
        checked_pool(settings, context.health, name=NAME) as pool,
        open_api(settings, pool, bus) as api,
    ):
        app = build_app(api, Tokens.of(settings), context.health, settings)
        await context.run_roles(
            [api.desk.deliveries],
            wakes={api.desk.deliveries.name: api.desk.after.delivery_wake},
            others=[_serve(context, app, api.bell)],
        )


@asynccontextmanager
async def open_api(settings: DatabaseSettings, pool: Pool, bus: Bus) -> AsyncIterator[Api]:
    """What the routes need."""
    bell = Bell()
    borrow = partial(checkout, pool)

    def send(topic: str, body: bytes) -> None:
        if topic == COMMANDS_TOPIC and bus.is_connected:
            bell.sent(body)
        bus.announce(topic, body)

    def ring(committed: Committed) -> None:
        bell.ring(committed.pools)

    await bus.listen(COMMANDS_TOPIC, bell.heard)
    reconnect = reconnector(settings, name=NAME, seconds=RECONNECT_SECONDS)
    with (
        closing(Announcer(partial(bus.announce, SNAPSHOTS_TOPIC))) as projected,
        closing(Announcer(partial(bus.announce, STEP_LOGS_TOPIC))) as logged,
        closing(bell),
    ):
        async with open_desk(reconnect, borrow, send) as desk:
            desk.after.listeners.append(ring)
            yield Api(
                pool=pool,
                desk=desk,
                intake=Intake(desk.appender, borrow),
                bell=bell,
                projected=projected,
                logged=logged,
                send=send,
            )


async def _serve(context: ProcessContext[InternalApiProcess], app: web.Application, bell: Bell) -> None:
    port = context.settings.internal_api_port
    try:
        server = await serve(app, port)
    except OSError as error:
        where = f"{context.settings.host}:{port}"
        raise Misconfigured(
            f"PLAYLOG_INTERNAL_API_PORT: cannot listen on {where}: {error.strerror}"
        ) from None
    await context.stop.wait()
    bell.close()
    await server.close()
