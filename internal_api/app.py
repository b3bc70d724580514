"""The application: every route group under one base, behind the gate."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from engine.runtime.health import Health, probes
from engine.runtime.http import make_app
from engine.runtime.settings import HttpSettings
from internal_api import (
    audit,
    cleanup,
    commands,
    events,
    incidents,
    maps,
    outbox,
    partitions,
    payloads,
    projection,
    retention,
    step_logs,
    workers,
)
from internal_api.api import API, BASE, Api
from internal_api.tokens import Tokens, gate

GROUPS = (
    outbox,
    events,
    projection,
    cleanup,
    partitions,
    retention,
    commands,
    payloads,
    maps,
    step_logs,
    workers,
    incidents,
    audit,
)


def build_app(api: Api, tokens: Tokens, health: Health, settings: HttpSettings) -> web.Application:
    """The internal API; only the probes answer without a token, unknown paths need one too."""
    app = make_app([*probes(health), *_routes()], settings)
    app.middlewares.append(gate(tokens))
    app[API] = api
    return app


def _routes() -> Iterator[web.RouteDef]:
    for group in GROUPS:
        for route in group.routes:
            if isinstance(route, web.RouteDef):
                yield web.RouteDef(route.method, BASE + route.path, route.handler, route.kwargs)
