"""From an error to one line that says what, where and what to do, and to an exit code."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from engine.errors import Conflict, Denied, Invalid, Malformed, Misconfigured, NotFound, PlaylogError, Purged
from playlog.problems import ApiError, ApiUnreachable

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
DENIED = 4
CONFLICT = 5
TIMED_OUT = 124
INTERRUPTED = 130

_BY_STATUS: dict[int, int] = {
    HTTPStatus.BAD_REQUEST: USAGE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: USAGE,
    HTTPStatus.UNPROCESSABLE_ENTITY: USAGE,
    HTTPStatus.UNAUTHORIZED: DENIED,
    HTTPStatus.FORBIDDEN: DENIED,
    HTTPStatus.NOT_FOUND: NOT_FOUND,
    HTTPStatus.GONE: NOT_FOUND,
    HTTPStatus.CONFLICT: CONFLICT,
    HTTPStatus.GATEWAY_TIMEOUT: TIMED_OUT,
}
_BY_KIND: tuple[tuple[type[PlaylogError], int], ...] = (
    (NotFound, NOT_FOUND),
    (Purged, NOT_FOUND),
    (Denied, DENIED),
    (Conflict, CONFLICT),
    (Invalid, USAGE),
    (Malformed, USAGE),
    (Misconfigured, USAGE),
)
_IN_USE = frozenset({"home_in_use", "port_busy"})
_ADVICE: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "set PLAYLOG_API_TOKEN to a valid token",
    HTTPStatus.FORBIDDEN: "use a token with the right for this",
    HTTPStatus.SERVICE_UNAVAILABLE: "try again shortly",
    HTTPStatus.TOO_MANY_REQUESTS: "try again shortly",
}
_ADVICE_BY_CODE = {
    "unknown_playbook": "register it with `playlog register FILE`; paths are case-sensitive",
    "unknown_execution": "`playlog list` shows the executions there are",
    "paused": "allow new executions of it with `playlog resume PATH`",
    "compensating": "`playlog run` and `playlog get` show when it has ended",
    "not_ended": "`playlog cancel` ends it",
    "compensated": "`playlog run` starts one",
}

EXPECTED = (PlaylogError, ApiError, ApiUnreachable, TimeoutError, OSError)
"""The errors that are explained; any other is a fault of this program."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What to print after `playlog: `, and the exit code."""

    text: str
    code: int


def explain(error: BaseException) -> Failure:
    """Word an expected error."""
    match error:
        case ApiError():
            return Failure(_with_advice(error), _BY_STATUS.get(error.status, FAILED))
        case ApiUnreachable():
            return Failure(
                f"the public API at {error.url} cannot be used: {error.reason}; "
                "start it with `playlog dev`, or name another one by PLAYLOG_API_URL or --api-url",
                FAILED,
            )
        case PlaylogError():
            return Failure(error.detail, _code(error))
        case TimeoutError():
            return Failure(str(error) or "it took too long", TIMED_OUT)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return Failure(f"{where}{(error.strerror or str(error)).lower()}", USAGE)
        case _:
            return Failure(str(error), FAILED)


def _code(error: PlaylogError) -> int:
    if error.code in _IN_USE:
        return CONFLICT
    return next((code for kind, code in _BY_KIND if isinstance(error, kind)), FAILED)


def _with_advice(error: ApiError) -> str:
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        request = str(error.problem.get("instance") or "").rpartition(":")[2]
        return f"the API failed; its log says why, at the request {request}"
    advice = _ADVICE_BY_CODE.get(error.code) or _ADVICE.get(error.status)
    detail = error.detail.rstrip(".")
    return f"{detail}; {advice}" if advice else detail
