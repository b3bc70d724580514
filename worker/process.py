"""The worker process: hides the platform's secrets from user code, then works until SIGTERM."""

from __future__ import annotations

from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import WorkerProcess
from worker import environment
from worker.service import work

SECRETS = ("PLAYLOG_INTERNAL_API_TOKEN", "PLAYLOG_DATABASE_URL", "PLAYLOG_MIGRATION_DATABASE_URL")
"""Variables that user code must not find; the last two are there when one process plays every role."""


def main() -> int:
    """Run a worker until SIGTERM; return the exit code."""
    return run_process("worker", run, WorkerProcess)


async def run(context: ProcessContext[WorkerProcess]) -> None:
    """Run the worker of one process."""
    for name in SECRETS:
        environment.hide_secret(name)
    environment.refuse_inspection()
    await context.run_roles([], others=[work(context.settings, context.stop, context.health)])
