"""The worker process: hides the platform's token from user code, then works until SIGTERM."""

from __future__ import annotations

from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import WorkerProcess
from worker import environment
from worker.service import work

TOKEN_NAME = "PLAYLOG_INTERNAL_API_TOKEN"  # noqa: S105  # the variable's name, not a token


def main() -> int:
    """Run a worker until SIGTERM; return the exit code."""
    return run_process("worker", run, WorkerProcess)


async def run(context: ProcessContext[WorkerProcess]) -> None:
    """Run the worker of one process."""
    environment.hide_secret(TOKEN_NAME)
    environment.refuse_inspection()
    await context.run_roles([], others=[work(context.settings, context.stop, context.health)])
