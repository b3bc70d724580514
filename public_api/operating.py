"""`/executions/{id}/pause`, `/resume` and `/retry`: what operators do to an execution."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, Field

from engine.language.model import NAME
from engine.runtime.database import checkout
from engine.write import executions
from public_api import answers
from public_api.answers import Standings
from public_api.bodies import Body
from public_api.executions import Reason
from public_api.routes import Call, Group

PROBLEMS = (400, 404, 409, 410, 415, 422)

routes = Group()


def _refused(_: object) -> object:
    raise ValueError("a retry keeps the inputs it was started with; start a new execution for others")


class ReasonBody(Body):
    """Why; it is recorded."""

    reason: Reason | None = None


class RetryBody(ReasonBody):
    """`step` has to be one that failed or was cancelled; other `inputs` are refused."""

    step: Annotated[str, Field(pattern=NAME)] | None = None
    inputs: Annotated[object, AfterValidator(_refused)] = None


@routes.add("POST", "/executions/{execution_id}/pause", answers={202: Standings}, problems=PROBLEMS)
async def pause(call: Call, *, execution_id: int, body: ReasonBody) -> web.Response:
    """Hand out no more commands of an execution until it is resumed; repeated, it answers the same.

    What workers have goes on and is recorded; timers and deadlines run.
    """
    done = await executions.pause(call.api.desk.appender, execution_id, body.reason)
    return answers.standing(done, status=202)


@routes.add("POST", "/executions/{execution_id}/resume", answers={202: Standings}, problems=PROBLEMS)
async def resume(call: Call, *, execution_id: int, body: ReasonBody) -> web.Response:
    """Hand out the commands that a pause has held; repeated, it answers the same."""
    done = await executions.resume(call.api.desk.appender, execution_id, body.reason)
    return answers.standing(done, status=202)


@routes.add("POST", "/executions/{execution_id}/retry", answers={202: Standings}, problems=PROBLEMS)
async def retry(call: Call, *, execution_id: int, body: RetryBody) -> web.Response:
    """Begin again, in the same execution, what failed or was cancelled.

    A 409 says why not: `not_ended`, `terminal_execution` (completed), `has_parent`, `compensated`,
    `no_failed_step`, `not_failed`.
    """
    borrow = partial(checkout, call.api.pool)
    done = await executions.reopen(
        borrow, call.api.desk.appender, execution_id, step=body.step, reason=body.reason
    )
    return answers.standing(done, status=202)
