"""An execution that this build cannot read or decide: its request is refused, and an incident says why."""

from __future__ import annotations

import asyncpg
import structlog

from engine.domain.incidents import IncidentKind
from engine.errors import NewerEngine, PlaylogError
from engine.write.incidents import report
from engine.write.requests import Request
from sql import queries

SQL = queries.load("liveness")

UNDECIDABLE = "undecidable"
LONGEST_REASON = 300

_log = structlog.get_logger(__name__)


async def explained(connection: asyncpg.Connection, request: Request, error: Exception) -> Exception:
    """The error to answer a request with whose append failed, alone, with `error`.

    What nobody foresaw about an execution of ours becomes `undecidable`, with an incident that is open until
    the execution moves again. Any other error is answered as it is.
    """
    if isinstance(error, PlaylogError) and type(error) not in {PlaylogError, NewerEngine}:
        return error
    head = await connection.fetchrow(SQL.native_head, request.execution_id)
    if head is None:
        return error
    reason = f"{type(error).__name__}: {error}".replace("\0", " ")[:LONGEST_REASON]
    definition = f"definition {head['definition_hash'].hex()}, version {head['version']}"
    incident = (
        IncidentKind.UNDECIDABLE,
        request.execution_id,
        str(request.execution_id),
        f"{definition}: {reason}",
    )
    await report(connection, [incident])
    _log.error("append.undecidable", execution_id=request.execution_id, exc_info=error)
    return error if isinstance(error, NewerEngine) else _undecidable(request.execution_id, error)


def _undecidable(execution_id: int, error: Exception) -> PlaylogError:
    detail = "this build cannot read or decide the execution; its incident says why"
    told = PlaylogError(detail, code=UNDECIDABLE, execution_id=str(execution_id))
    told.__cause__ = error
    return told
