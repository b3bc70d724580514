"""A small shop for `orders.yaml` and `http.yaml`.

It is down for the first two requests of every day that is asked for, and tells prices to who has its token.
Run it with `python -m playbooks.examples.service --port 8099`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import date

from aiohttp import web

HOST = "127.0.0.1"
PORT = 8099
FAILURES = 2
SUNDAY = 7
TOKEN = "open-sesame"  # noqa: S105  # known to everybody, so that examples can show a secret
CENTS = {"apple": 30, "bread": 250, "coffee": 690}

_ASKED = web.AppKey("asked", Counter[str])
_PUBLISHED = web.AppKey("published", list[object])


def make_service() -> web.Application:
    """Return the service: `GET /orders?day=`, `GET /prices?item=`, `POST /publish`, `GET /published`.

    It keeps all in memory.
    """
    app = web.Application()
    app[_ASKED] = Counter()
    app[_PUBLISHED] = []
    app.add_routes(
        [
            web.get("/orders", _orders),
            web.get("/prices", _prices),
            web.post("/publish", _publish),
            web.get("/published", _published),
        ]
    )
    return app


async def _orders(request: web.Request) -> web.Response:
    day = request.query.get("day", "")
    try:
        date.fromisoformat(day)
    except ValueError:
        return web.json_response({"error": "day must be a date"}, status=400)
    request.app[_ASKED][day] += 1
    if request.app[_ASKED][day] <= FAILURES:
        return web.json_response({"error": "try again"}, status=503)
    return web.json_response({"day": day, "orders": _orders_of(day)})


def _orders_of(day: str) -> list[dict[str, object]]:
    """Nothing is sold on Sundays."""
    if date.fromisoformat(day).isoweekday() == SUNDAY:
        return []
    return [
        {"item": "apple", "quantity": 12},
        {"item": "bread", "quantity": 2},
        {"item": "tea", "quantity": 1},
    ]


async def _prices(request: web.Request) -> web.Response:
    """The price of an item, with what the request was allowed by."""
    allowed_by = request.headers.get("Authorization", "")
    if allowed_by != f"Bearer {TOKEN}":
        return web.json_response({"error": "a token is needed"}, status=401)
    item = request.query.get("item", "")
    if item not in CENTS:
        return web.json_response({"error": "no such item"}, status=404)
    return web.json_response({"item": item, "cents": CENTS[item], "allowed_by": allowed_by})


async def _publish(request: web.Request) -> web.Response:
    request.app[_PUBLISHED].append(await request.json())
    return web.json_response({"published": len(request.app[_PUBLISHED])}, status=201)


async def _published(request: web.Request) -> web.Response:
    return web.json_response(request.app[_PUBLISHED])


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="The sample shop of the example playbooks.")
    parser.add_argument("--port", type=int, default=PORT)
    web.run_app(make_service(), host=HOST, port=parser.parse_args().port, print=None)


if __name__ == "__main__":
    main()
