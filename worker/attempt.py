"""Runs one command with its tool and time limit, and words how it ended."""

from __future__ import annotations

import asyncio
import time
import traceback
from typing import TYPE_CHECKING

import structlog

from worker import metrics
from worker.commands import Command, Result, failed, now_iso
from worker.deferred import evaluated
from worker.tools.contract import MESSAGE_LIMIT, Tool, ToolContext, ToolFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.masking import Mask
    from worker.payloads import Payloads
    from worker.secrets import Secrets

_log = structlog.get_logger(__name__)

OUT_OF_TIME: dict[str, object] = {"code": "timeout", "message": "the attempt ran out of time"}


async def run_attempt(
    tools: Mapping[str, Tool],
    payloads: Payloads,
    secrets: Secrets,
    command: Command,
    write: Callable[[str, str], None],
) -> Result:
    """Run the command's tool; every outcome but a cancellation is a result.

    Fetching large inputs, resolving secrets and storing a large output are part of the attempt and of its
    time. Secrets are masked in all that leaves it: output, error, log lines.

    A tool that is still running when the attempt expires is cancelled and the result is `timeout`.
    """
    started_at, started = now_iso(), time.perf_counter()
    limit = asyncio.timeout_at(_on_loop_clock(command.expires_at))
    resolved = secrets.for_attempt()
    try:
        async with limit:
            whole = evaluated(command, await payloads.input(command), resolved)
            context = _context(command, resolved.mask(), write)
            output = await _tool(tools, command)(whole, context)
            result = await payloads.result(command, output, started_at, context.mask)
    except ToolFailed as failure:
        result = failed(command, _error(failure, resolved.mask()), started_at)
    except Exception as error:  # noqa: BLE001  # whatever a tool raises is a result
        out_of_time = isinstance(error, TimeoutError) and limit.expired()
        problem = OUT_OF_TIME if out_of_time else _broken(command, error, resolved.mask())
        result = failed(command, problem, started_at)
    _count(tools, command, result, time.perf_counter() - started)
    return result


def _context(command: Command, mask: Mask, write: Callable[[str, str], None]) -> ToolContext:
    return ToolContext(
        command_id=command.key,
        execution_id=str(command.execution_id),
        step=command.step,
        attempt=command.attempt,
        traceparent=command.traceparent,
        idempotency_key=command.idempotency_key,
        log=lambda stream, line: write(stream, mask.text(line)),
        mask=mask,
    )


def _tool(tools: Mapping[str, Tool], command: Command) -> Tool:
    tool = tools.get(command.tool)
    if tool is None:
        known = ", ".join(sorted(tools))
        raise ToolFailed("validation", f"this worker has no tool {command.tool!r}, only {known}")
    return tool


def _broken(command: Command, error: Exception, mask: Mask) -> dict[str, object]:
    where = mask.text("".join(traceback.format_exception(error)))
    _log.error("worker.tool_broke", tool=command.tool, command_id=command.key, exception=where)
    message = mask.text(f"the tool broke: {error!r}")
    return {"code": "internal_error", "message": message[:MESSAGE_LIMIT]}


def _error(failure: ToolFailed, mask: Mask) -> dict[str, object]:
    message = mask.text(failure.message)[:MESSAGE_LIMIT]
    error: dict[str, object] = {"code": failure.code, "message": message}
    if failure.status is not None:
        error["status"] = failure.status
    if failure.details is not None:
        error["details"] = mask.value(failure.details)
    return error


def _on_loop_clock(monotonic: float) -> float:
    return asyncio.get_running_loop().time() + (monotonic - time.monotonic())


def known_tool(tools: Mapping[str, Tool], command: Command) -> str:
    """Return the command's tool as a metric label: names that no tool has share one."""
    return command.tool if command.tool in tools else "unknown"


def _count(tools: Mapping[str, Tool], command: Command, result: Result, seconds: float) -> None:
    tool = known_tool(tools, command)
    metrics.commands(tool, str(result.body["status"])).inc()
    metrics.command_seconds(tool).observe(seconds)
