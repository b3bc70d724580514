"""Every error playlog raises on purpose; the docstring of a leaf is its default message.

PlaylogError
├── Malformed       400  the request cannot be read
├── Denied          401, 403  no valid token, or one without the right
├── NotFound        404
├── Conflict        409  the request contradicts what is recorded
├── Purged          410  retention has removed it
├── TooLarge        413
├── Invalid         422  well-formed, but against the rules; may carry faults
├── Busy            429  a bounded queue is full, retry after
├── Unavailable     503  a dependency is away or not set up, retry after
├── UnknownOutcome  503  the answer of a commit was lost, retry with the same ids
├── NewerEngine     503  the log holds events of a newer build
└── Misconfigured   at start-up: settings, versions, servers
"""

# ruff: noqa: N818 - a leaf is named after what happened, as the table above shows

from __future__ import annotations

from typing import Any

UNMAPPED = "database_error"
"""The code of a database error that is in no class of ours; worth a look at the log."""


class PlaylogError(Exception):
    """An error of playlog."""

    status = 500
    code = "internal_error"

    def __init__(self, detail: str | None = None, *, code: str | None = None, **data: object) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.code = code or type(self).code
        self.data: dict[str, Any] = data
        super().__init__(self.detail)


class Malformed(PlaylogError):
    """The request cannot be read."""

    status = 400
    code = "malformed"


class Denied(PlaylogError):
    """A valid token with the needed right is required."""

    status = 403
    code = "forbidden"


class NotFound(PlaylogError):
    """There is no such thing."""

    status = 404
    code = "not_found"


class Conflict(PlaylogError):
    """The request contradicts what is recorded."""

    status = 409
    code = "conflict"


class Purged(PlaylogError):
    """Retention has removed it."""

    status = 410
    code = "purged"


class TooLarge(PlaylogError):
    """The request is larger than its limit."""

    status = 413
    code = "too_large"


class Invalid(PlaylogError):
    """The request is well-formed, but against the rules."""

    status = 422
    code = "invalid"


class Busy(PlaylogError):
    """Too many requests are waiting; try again shortly."""

    status = 429
    code = "busy"


class Unavailable(PlaylogError):
    """This cannot be served now: what it needs is away or not set up."""

    status = 503
    code = "unavailable"


class UnknownOutcome(PlaylogError):
    """The connection broke while committing; repeat the request with the same ids."""

    status = 503
    code = "unknown_outcome"


class NewerEngine(PlaylogError):
    """The log holds events of a newer build; roll out readers first, then writers."""

    status = 503
    code = "newer_engine"


class Misconfigured(PlaylogError):
    """The process cannot start with these settings."""

    code = "misconfigured"


def from_sqlstate(sqlstate: str | None, constraint: str | None = None) -> PlaylogError:
    """Map a database error to a leaf by SQLSTATE and constraint; the database's own text is dropped."""
    if constraint is not None and sqlstate == "23505":
        return Conflict(f"a row with the same {constraint} exists", code="conflict")
    match (sqlstate or "")[:2]:
        case "08" | "57" | "53" | "":
            return _server_away(sqlstate)
        case "25" | "40" | "55":
            return Unavailable("the database is busy; try again", code="database_busy", retry_after=1)
        case "22" | "23":
            return Invalid("the database refused a value", code="invalid")
        case _:
            return Unavailable("the database refused the request; see the process's log", code=UNMAPPED)


def _server_away(sqlstate: str | None) -> PlaylogError:
    if sqlstate == "53100":
        return Unavailable("the database's disk is full", code="storage_full", retry_after=5)
    if sqlstate == "57014":
        return Unavailable("the database took too long", code="database_busy", retry_after=1)
    return Unavailable("the database is away", code="database_away", retry_after=1)
