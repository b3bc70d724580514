"""The registry says what handlers take, and no route hides another."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Application

from public_api.executions import StartBody
from public_api.process import ROUTES
from public_api.reading import ReadQuery
from public_api.routes import BASE, Group, Route, bind

EXAMPLES = {"execution_id": "17", "name": "approved", "key": "orders/7", "path": "team/orders", "sha256": "0"}
EXAMPLES |= {"step": "price", "span": "3-9", "what": "outputs"}


def named(method: str, path: str) -> Route:
    return next(route for route in ROUTES if (route.method, route.path) == (method, path))


def example(route: Route) -> str:
    path = route.path
    for name in route.names:
        for pattern in (f"{{{name}}}", f"{{{name}:.+}}"):
            path = path.replace(pattern, EXAMPLES[name])
    return BASE + path


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_a_route_is_documented_and_reached_by_its_path(route: Route) -> None:
    assert route.summary.endswith(".")
    assert route.answers
    app = Application()
    app.add_routes(bind(ROUTES, None))  # type: ignore[arg-type]
    matched = await app.router.resolve(make_mocked_request(route.method, example(route)))
    assert matched.route.resource is not None
    assert matched.route.resource.canonical == BASE + route.path.replace(":.+", "")
    assert set(matched) == set(route.names)


def test_what_a_handler_takes_is_what_is_documented() -> None:
    start = named("POST", "/executions")
    assert (start.query, start.body, start.names) == (None, StartBody, ())
    by_key = named("GET", "/executions/by-key/{key:.+}")
    assert (by_key.query, by_key.body, by_key.names) == (ReadQuery, None, ("key",))
    assert named("POST", "/executions/{execution_id}/signals/{name}").body is object


def test_a_handler_that_asks_for_what_no_request_has_is_a_mistake() -> None:
    async def handler(call: object, *, nonsense: int) -> None:
        """Want something else."""

    with pytest.raises(TypeError, match="nonsense"):
        Group().add("GET", "/things", answers={})(handler)  # type: ignore[type-var]
