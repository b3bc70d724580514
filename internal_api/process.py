"""The process of the internal API: what it opens, in which order it closes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from aiohttp import web

from engine.errors import Misconfigured
from engine.read.projection import SNAPSHOTS_TOPIC
from engine.runtime.announcer import Announcer
from engine.runtime.broker import Broker
from engine.runtime.checks import add_database_checks
from engine.runtime.database import Connection, Pool, checkout, connect, open_pool
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
    """Open the API, serve it until told to stop, let requests under way finish."""
    settings = context.settings
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, name=NAME)
        stack.push_async_callback(pool.close)
        broker = Broker(settings, name=NAME)
        stack.push_async_callback(broker.close)
        await broker.connect(wait_seconds=0)
        api = await stack.enter_async_context(open_api(settings, pool, broker))
        add_database_checks(context.health, pool, allow_unsafe_durability=settings.allow_unsafe_durability)
        app = build_app(api, Tokens.of(settings), context.health, settings)
        await context.run_roles(
            [api.desk.deliveries],
            wakes={api.desk.deliveries.name: api.desk.after.delivery_wake},
            others=[_serve(context, app, api.bell)],
        )


@asynccontextmanager
async def open_api(settings: DatabaseSettings, pool: Pool, broker: Broker) -> AsyncIterator[Api]:
    """What the routes need; NATS may be away: then nobody elsewhere is woken, and everything else works."""
    bell = Bell()
    # An append must not wait for the database beyond the patience of those who asked for it.
    patience = settings.model_copy(update={"database_start_timeout": RECONNECT_SECONDS})

    async def reconnect() -> Connection:
        return await connect(patience, name=NAME)

    def borrow() -> AbstractAsyncContextManager[Connection]:
        return checkout(pool)

    def send(topic: str, body: bytes) -> None:
        if topic == COMMANDS_TOPIC and broker.is_connected:
            bell.sent(body)
        broker.announce(topic, body)

    def ring(committed: Committed) -> None:
        bell.ring(committed.pools)

    projected = Announcer(lambda body: broker.announce(SNAPSHOTS_TOPIC, body))
    await broker.listen(COMMANDS_TOPIC, bell.heard)
    try:
        async with open_desk(reconnect, borrow, send) as desk:
            desk.after.listeners.append(ring)
            yield Api(
                pool=pool,
                desk=desk,
                intake=Intake(desk.appender, borrow),
                bell=bell,
                projected=projected,
                send=send,
            )
    finally:
        projected.close()
        bell.close()


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
