"""The query of a URL against the model of a route: nothing unknown, nothing twice, nothing guessed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from engine.errors import Invalid
from engine.language.faults import did_you_mean

SHOWN = 20


class Query(BaseModel):
    """The parameters that a route takes; this one takes none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Q = TypeVar("Q", bound=Query)


def parse_query(request: web.Request, model: type[Q]) -> Q:
    """The query as its model; raises `Invalid` (`invalid_query`) with every fault at once."""
    given = request.query
    twice = sorted({name for name in given if len(given.getall(name)) > 1})
    if twice:
        raise invalid([fault(("query", name), "is given more than once", "repeated") for name in twice])
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        known = [field.alias or name for name, field in model.model_fields.items()]
        raise invalid([_worded("query", detail, known) for detail in details(error)]) from None


def details(error: ValidationError) -> list[ErrorDetails]:
    """What pydantic found, without the values it found it in."""
    return error.errors(include_url=False, include_input=False)[:SHOWN]


def _worded(place: str, detail: ErrorDetails, known: Iterable[str]) -> dict[str, object]:
    return worded(place, detail, known, unknown="unknown parameter")


def worded(place: str, detail: ErrorDetails, known: Iterable[str], *, unknown: str) -> dict[str, object]:
    """One fault of pydantic's in our words, an unknown name with the nearest known one."""
    loc = (place, *detail["loc"])
    message, kind = detail["msg"], detail["type"]
    if kind == "extra_forbidden":
        hint = did_you_mean(str(loc[-1]), known)
        return fault(loc, f"{unknown}{f', {hint}' if hint else ''}", "unknown")
    if kind == "value_error":
        return fault(loc, message.removeprefix("Value error, "), "value")
    return fault(loc, message, kind)


def fault(loc: Iterable[str | int], message: str, kind: str) -> dict[str, object]:
    """One entry of a problem's `errors`."""
    return {
        "loc": [part[:100] if isinstance(part, str) else part for part in loc],
        "msg": message,
        "type": kind,
    }


def invalid(errors: list[dict[str, object]], code: str = "invalid_query") -> Invalid:
    """The error that carries faults; its detail words the first ones."""
    shown = [f"{_path(error['loc'])}: {error['msg']}" for error in errors[:5]]
    return Invalid("; ".join(shown), code=code, errors=errors)


def _path(loc: object) -> str:
    return ".".join(map(str, loc[1:] or loc)) if isinstance(loc, list) else str(loc)
