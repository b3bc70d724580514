"""Bodies: one strict JSON document within the bounds of an event, then the model of a route."""

from __future__ import annotations

import json
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.domain.json_values import VALUE_BYTES, Unstorable, check_value
from engine.errors import Invalid, Malformed, TooLarge
from engine.runtime.http import read_body, read_json
from public_api.query import details, fault, invalid, worded


class Body(BaseModel):
    """What a route takes as its body: strict, and unknown names are faults."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


B = TypeVar("B", bound=Body)


async def read_body_as(request: web.Request, model: type[B]) -> B:
    """The body as its model; no body is an empty one.

    Raises what `read_value` raises, and `Invalid` (`invalid_body`) with every fault at once.
    """
    value = await read_value(request)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise invalid([fault(("body",), "must be an object", "type")], "invalid_body")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        known = [field.alias or name for name, field in model.model_fields.items()]
        faults = [worded("body", detail, known, unknown="unknown name") for detail in details(error)]
        raise invalid(faults, "invalid_body") from None


async def read_value(request: web.Request) -> object:
    """The body as JSON, at most what one event may hold; None when there is none.

    Raises `TooLarge`, `Malformed` (no JSON, a name twice, another content type) and `Invalid` (`too_deep`,
    `bad_text`, `bad_number`).
    """
    body = await read_body(request)
    if len(body) > VALUE_BYTES:
        raise TooLarge(f"the body is larger than {VALUE_BYTES} bytes", limit=VALUE_BYTES)
    value = await read_json(request)
    _refuse_unstorable(value)
    _refuse_repeated(body)
    return value


def _refuse_unstorable(value: object) -> None:
    try:
        check_value(value)
    except Unstorable as error:
        kind = TooLarge if error.code == TooLarge.code else Invalid
        raise kind(error.detail, code=error.code) from None


def _refuse_repeated(body: bytes) -> None:
    """Raise `Malformed` when an object has a name twice; the parser would silently keep the last."""
    if body:
        json.loads(body, object_pairs_hook=_once, parse_int=len, parse_float=len)


def _once(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise Malformed("an object has the same name twice", code="repeated_name")
