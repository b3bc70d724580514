"""The registry of routes: what a handler's parameters say is what is parsed, served and documented.

A handler is `async def name(call: Call, *, ...) -> web.StreamResponse`. Its keyword parameters are the names
in the path, `query` (a `Query` model) and `body` (a `Body` model, or `JsonValue` for any JSON); the first
line of its docstring is the summary. Adding a route is adding one such function to a group.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from aiohttp import web

from engine.runtime.database import Pool
from engine.runtime.http import Handler as HttpHandler
from engine.write.desk import Desk
from public_api.bodies import Body, read_body_as, read_value
from public_api.fields import parse_execution_id
from public_api.live import Live
from public_api.query import Query, parse_query
from public_api.waiters import Waiters

BASE = "/api/v1"

JSON = "application/json"
PARSES_AT_ONCE = 2
NO_MESSAGES: Mapping[str, type] = MappingProxyType({})
NAMES = re.compile(r"\{(\w+)(?::[^}]*)?\}")

Handler = Callable[..., Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What handlers work with; `parsing` bounds how many playbooks are parsed at once."""

    pool: Pool
    desk: Desk
    waiters: Waiters
    live: Live
    parsing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARSES_AT_ONCE))


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through a handler."""

    api: Api
    request: web.Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route as it is registered and documented.

    `answers` are the good statuses with the type of their document, `problems` the bad ones that belong to
    this route. `media` are the content types its body may have. `messages` are the data of the server-sent
    events that 200 may be, by their names; `message` is the name of those without one.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, type]
    problems: tuple[int, ...]
    media: tuple[str, ...]
    messages: Mapping[str, type]
    names: tuple[str, ...]
    query: type[Query] | None
    body: object | None

    async def serve(self, api: Api, request: web.Request) -> web.StreamResponse:
        """Parse what the handler asks for, and call it."""
        arguments: dict[str, object] = {}
        for name in self.names:
            value = request.match_info[name]
            arguments[name] = parse_execution_id(value) if name == "execution_id" else value
        query = parse_query(request, self.query or Query)
        if self.query is not None:
            arguments["query"] = query
        if isinstance(self.body, type) and issubclass(self.body, Body):
            arguments["body"] = await read_body_as(request, self.body)
        elif self.body is not None:
            arguments["body"] = await read_value(request)
        return await self.handler(Call(api, request), **arguments)


class Group:
    """The routes of one file."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def add(
        self,
        method: str,
        path: str,
        *,
        answers: Mapping[int, type],
        problems: tuple[int, ...] = (),
        media: tuple[str, ...] = (JSON,),
        messages: Mapping[str, type] = NO_MESSAGES,
    ) -> Callable[[H], H]:
        """Register the handler that follows."""

        def register(handler: H) -> H:
            hints = typing.get_type_hints(handler)
            names = tuple(NAMES.findall(path))
            strange = set(inspect.signature(handler).parameters) - {"call", "query", "body", *names}
            if strange:
                raise TypeError(f"{handler.__name__}: no such part of a request: {strange}")
            route = Route(
                method=method,
                path=path,
                handler=handler,
                summary=(handler.__doc__ or "").partition("\n")[0],
                answers=answers,
                problems=problems,
                media=media,
                messages=messages,
                names=names,
                query=hints.get("query"),
                body=hints.get("body"),
            )
            self.routes.append(route)
            return handler

        return register


def bind(routes: Iterable[Route], api: Api) -> list[web.RouteDef]:
    """Return the routes for an application, in their order, as the first that fits is taken."""
    return [web.route(route.method, BASE + route.path, _bound(route, api)) for route in routes]


def _bound(route: Route, api: Api) -> HttpHandler:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await route.serve(api, request)

    return serve
