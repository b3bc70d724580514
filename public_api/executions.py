"""`/executions`: starting executions, and telling them something."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, BeforeValidator, Field

from engine.errors import Invalid
from engine.language import durations
from engine.language.model import EVENT
from engine.runtime.database import checkout
from engine.write import executions
from engine.write.executions import StartOrder
from public_api import answers, fields
from public_api.answers import Standings
from public_api.bodies import Body
from public_api.query import fault, invalid
from public_api.routes import BASE, Call, Group

MAX_LABELS = 50
MAX_REASON = 2_000
IDEMPOTENCY_KEY = "Idempotency-Key"

_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?")
_SIGNAL_NAME = re.compile(EVENT)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACEPARENT_LENGTH = 55

routes = Group()


def _plain(text: str) -> str:
    if fields.has_control(text):
        raise ValueError("must not hold control characters")
    return text


def _duration(value: object) -> object:
    return durations.seconds(durations.normalize(value)) if isinstance(value, str) else value


def _longer_than_nothing(seconds: float) -> float:
    if not 0 < seconds <= durations.LONGEST / 1000:
        raise ValueError("must be longer than nothing and at most ten years")
    return seconds


Name = Annotated[str, Field(min_length=1, max_length=fields.MAX_TEXT), AfterValidator(_plain)]
Reason = Annotated[str, Field(max_length=MAX_REASON)]
Deadline = Annotated[float, BeforeValidator(_duration), AfterValidator(_longer_than_nothing)]


class StartBody(Body):
    """What to run: `key` names the execution for ever, `deadline` is in seconds or as `1h30m`."""

    playbook: Name
    version: Annotated[int, Field(ge=1, le=fields.MAX_VERSION)] | None = None
    inputs: dict[str, object] = Field(default_factory=dict)
    key: Name | None = None
    labels: dict[Name, Name] = Field(default_factory=dict, max_length=MAX_LABELS)
    deadline: Deadline | None = None
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None


class CancelBody(Body):
    """Why, and whether completed steps are undone before the end."""

    reason: Reason | None = None
    compensate: bool = False


@routes.add(
    "POST", "/executions", answers={201: Standings, 200: Standings}, problems=(400, 404, 409, 413, 415, 422)
)
async def start(call: Call, *, body: StartBody) -> web.Response:
    """Start an execution: 201, or 200 when the `key` or the Idempotency-Key did so before.

    The same `key` with another body is a 409, the same Idempotency-Key with another body a 422.
    """
    order = StartOrder(
        playbook=body.playbook,
        version=body.version,
        inputs=body.inputs,
        key=body.key,
        idempotency_key=idempotency_key(call.request),
        labels=body.labels,
        deadline=body.deadline,
        priority=body.priority,
        traceparent=traceparent(call.request),
    )
    desk = call.api.desk
    borrow = partial(checkout, call.api.pool)
    done = await executions.start(borrow, desk.appender, desk.definitions, order)
    where = f"{BASE}/executions/{done.execution_id}"
    return answers.standing(done, status=201 if done.created else 200, location=where)


@routes.add(
    "POST",
    "/executions/{execution_id}/cancel",
    answers={202: Standings},
    problems=(400, 404, 409, 410, 415, 422),
)
async def cancel(call: Call, *, execution_id: int, body: CancelBody) -> web.Response:
    """End an execution at once, or when what it did is undone; repeated, it answers the same."""
    appender = call.api.desk.appender
    done = await executions.cancel(appender, execution_id, body.reason, compensate=body.compensate)
    return answers.standing(done, status=202)


@routes.add(
    "POST",
    "/executions/{execution_id}/signals/{name}",
    answers={202: Standings},
    problems=(400, 404, 409, 410, 413, 415, 422, 429),
)
async def signal(call: Call, *, execution_id: int, name: str, body: object) -> web.Response:
    """Give an execution a signal, kept when it comes early; with an Idempotency-Key it counts once."""
    if _SIGNAL_NAME.fullmatch(name) is None:
        raise invalid([fault(("path", "name"), f"must match {EVENT}", "value")], "invalid_name")
    repeatable = idempotency_key(call.request)
    done = await executions.signal(call.api.desk.appender, execution_id, name, body, repeatable)
    return answers.standing(done, status=202)


def idempotency_key(request: web.Request) -> str | None:
    """The header `Idempotency-Key`; raises `Invalid` unless it is one of 1 to 200 printable characters."""
    given = request.headers.getall(IDEMPOTENCY_KEY, [])
    if not given:
        return None
    if len(given) > 1 or _PRINTABLE.fullmatch(given[0]) is None:
        raise Invalid(
            f"{IDEMPOTENCY_KEY} must be given once, with 1 to 200 printable ASCII characters",
            code="bad_idempotency_key",
        )
    return given[0]


def traceparent(request: web.Request) -> str | None:
    """The W3C trace context of the caller; a malformed one is ignored, as the standard wants it."""
    given = request.headers.getall("traceparent", [])
    if len(given) != 1 or len(given[0]) != _TRACEPARENT_LENGTH:
        return None
    return given[0] if _TRACEPARENT.fullmatch(given[0]) else None
