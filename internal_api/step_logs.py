"""`/logs`: lines that tools wrote."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from engine.domain.json_values import Unstorable, check_value
from engine.domain.normalize import STEP_CHARACTERS, Raw, required_id, text_of, time_of
from engine.errors import Invalid
from engine.runtime.http import json_response
from engine.write.step_logs import Line, store
from internal_api.api import API
from internal_api.bodies import read_fields

STREAMS = frozenset({"stdout", "stderr", "log"})
MOST_LINES = 10_000
LARGEST = 2**31 - 1

routes = web.RouteTableDef()


@routes.post("/logs")
async def store_lines(request: web.Request) -> web.Response:
    """Store lines; one that is there already, by command and number, is not counted.

    A line that cannot be stored refuses the request, and its place is named.
    """
    fields = await read_fields(request)
    items = fields.items("lines", MOST_LINES)
    fields.close()
    api = request.app[API]
    lines, faults = [], []
    for index, item in enumerate(items):
        try:
            lines.append(_line(item))
        except Unstorable as refusal:
            faults.append({"loc": ["lines", index], "msg": refusal.detail, "type": refusal.code})
    if faults:
        raise Invalid("some lines cannot be stored", errors=faults[:100])
    async with api.borrow() as connection:
        stored = await store(connection, lines)
    for execution_id, level in stored:
        api.logged.add(execution_id, level)
    return json_response({"stored": len(stored)})


def _line(item: object) -> Line:
    if not isinstance(item, dict):
        raise Unstorable("bad_type", "a line is an object")
    check_value(item)
    fields: Raw = item
    stream, line = fields.get("stream"), fields.get("line")
    if stream not in STREAMS or not isinstance(line, str):
        raise Unstorable("bad_type", "a line has a text and is of stdout, stderr or log")
    return Line(
        execution_id=required_id(fields, "execution_id"),
        command_id=required_id(fields, "command_id"),
        seq=_count(fields, "seq"),
        step=text_of(fields, "step", STEP_CHARACTERS) or "",
        attempt=_count(fields, "attempt"),
        stream=str(stream),
        line=line,
        logged_at=_moment(fields),
    )


def _count(fields: Raw, name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise Unstorable("bad_number", f"{name} is an integer from 0 to {LARGEST}")
    return value


def _moment(fields: Raw) -> datetime:
    moment = time_of(fields.get("at"), naive=False)
    if moment is None:
        raise Unstorable("bad_time", "at is missing")
    return moment
