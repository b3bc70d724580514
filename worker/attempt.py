"""Runs one command with its tool and time limit, and words how it ended."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from worker import metrics
from worker.commands import Command, Result, failed, now_iso
from worker.tools.contract import Tool, ToolContext, ToolFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.payloads import Payloads

_log = structlog.get_logger(__name__)


async def run_attempt(
    tools: Mapping[str, Tool], payloads: Payloads, command: Command, write: Callable[[str, str], None]
) -> Result:
    """Run the command's tool; every outcome but a cancellation is a result.

    Fetching large inputs and storing a large output are part of the attempt and of its time.

    A tool that is still running when the attempt expires is cancelled and the result is `timeout`.
    """
    started_at, started = now_iso(), time.perf_counter()
    limit = asyncio.timeout_at(_on_loop_clock(command.expires_at))
    try:
        async with limit:
            command = replace(command, input=await payloads.input(command))
            output = await _output(tools, command, write)
            result = await payloads.result(command, output, started_at)
    except ToolFailed as failure:
        result = failed(command, _error(failure), started_at)
    except Exception as error:  # noqa: BLE001  # whatever a tool raises is a result
        code = "timeout" if isinstance(error, TimeoutError) and limit.expired() else "internal_error"
        if code == "internal_error":
            _log.exception("worker.tool_broke", tool=command.tool, command_id=command.key)
        message = "the attempt ran out of time" if code == "timeout" else f"the tool broke: {error!r}"
        result = failed(command, {"code": code, "message": message}, started_at)
    _count(tools, command, result, time.perf_counter() - started)
    return result


async def _output(tools: Mapping[str, Tool], command: Command, write: Callable[[str, str], None]) -> object:
    tool = tools.get(command.tool)
    if tool is None:
        known = ", ".join(sorted(tools))
        raise ToolFailed("validation", f"this worker has no tool {command.tool!r}, only {known}")
    context = ToolContext(
        command_id=command.key,
        execution_id=str(command.execution_id),
        step=command.step,
        attempt=command.attempt,
        traceparent=command.traceparent,
        log=write,
    )
    return await tool(command.input, context)


def _error(failure: ToolFailed) -> dict[str, object]:
    error: dict[str, object] = {"code": failure.code, "message": failure.message}
    if failure.status is not None:
        error["status"] = failure.status
    if failure.details is not None:
        error["details"] = failure.details
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
