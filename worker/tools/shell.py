"""Runs a program or a script in its own process group; values reach it as arguments, never as text."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from asyncio.subprocess import DEVNULL, Process
from typing import TYPE_CHECKING

import orjson

from engine.language.tools import ShellInput
from worker.environment import scrubbed
from worker.tools.capture import BoundedCapture
from worker.tools.contract import IDEMPOTENCY_VARIABLE, Tool, ToolContext, ToolFailed, read_input
from worker.tools.pipes import OutputPipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STREAM_LIMIT = 64 * 1024
_TAIL = 2 * 1024


def shell_tool() -> Tool:
    """Return the tool: output `{exit_code, stdout, stderr, truncated}`, 64 KiB a stream.

    A nonzero exit fails with `exit_status` and the status; a program that cannot start with `validation`.
    """

    async def run(value: object, context: ToolContext) -> object:
        wanted = read_input(ShellInput, value)
        out = BoundedCapture(STREAM_LIMIT, lambda line: context.log("stdout", line))
        err = BoundedCapture(STREAM_LIMIT, lambda line: context.log("stderr", line))
        masked = (context.mask.stream(out.feed), context.mask.stream(err.feed))
        pipes = (OutputPipe(masked[0].feed), OutputPipe(masked[1].feed))
        try:
            code = await _execute(wanted, pipes, {IDEMPOTENCY_VARIABLE: context.idempotency_key})
        finally:
            for pipe in pipes:
                pipe.close()
        for stream in masked:
            stream.close()
        out.close()
        err.close()
        return _outcome(code, out, err)

    return run


async def _execute(
    wanted: ShellInput, pipes: tuple[OutputPipe, OutputPipe], variables: Mapping[str, str]
) -> int:
    try:
        process = await _start(wanted, pipes, variables)
    finally:
        for pipe in pipes:
            pipe.close_write_end()
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        _kill_group(process.pid)
        await asyncio.shield(process.wait())
        raise
    for pipe in pipes:
        pipe.drain()
    if not all(pipe.ended for pipe in pipes):
        # Children it left behind still hold a pipe: they end with the command.
        _kill_group(process.pid)
    return code


def _stdin_bytes(wanted: ShellInput) -> bytes | None:
    if wanted.stdin is None:
        return None
    return wanted.stdin.encode() if isinstance(wanted.stdin, str) else orjson.dumps(wanted.stdin)


async def _start(
    wanted: ShellInput, pipes: tuple[OutputPipe, OutputPipe], variables: Mapping[str, str]
) -> Process:
    out, err = pipes
    with _stdin(_stdin_bytes(wanted)) as stdin:
        try:
            return await asyncio.create_subprocess_exec(
                *wanted.argv(),
                stdin=stdin,
                stdout=out.write_end,
                stderr=err.write_end,
                cwd=wanted.cwd,
                env=scrubbed(variables) | {name: str(value) for name, value in wanted.env.items()},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            program = wanted.argv()[0]
            raise ToolFailed("validation", f"with.command: cannot start {program}: {error}") from None


@contextlib.contextmanager
def _stdin(data: bytes | None) -> Iterator[int]:
    if data is None:
        yield DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _outcome(code: int, out: BoundedCapture, err: BoundedCapture) -> object:
    stdout, stderr = out.text(), err.text()
    if code == 0:
        truncated = out.truncated or err.truncated
        return {"exit_code": 0, "stdout": stdout, "stderr": stderr, "truncated": truncated}
    ended = f"exit status {code}" if code > 0 else f"killed by signal {-code}"
    last = stderr.strip().rpartition("\n")[2]
    raise ToolFailed(
        "exit_status",
        f"{ended}: {last}" if last else ended,
        status=code if code > 0 else 128 - code,
        details={"stdout": stdout[-_TAIL:], "stderr": stderr[-_TAIL:]},
    )
