"""The worker process: hides all secrets from user code, then works until SIGTERM."""

from __future__ import annotations

from engine.runtime.process import ProcessContext, run_process
from engine.runtime.settings import WorkerProcess
from engine.runtime.settings_loading import SECRET_PREFIX, secret_variables
from worker import environment
from worker.secrets import Secrets
from worker.service import work

SECRETS = (
    *("PLAYLOG_INTERNAL_API_TOKEN", "PLAYLOG_API_TOKEN", "PLAYLOG_NATS_URL"),
    *("PLAYLOG_DATABASE_URL", "PLAYLOG_MIGRATION_DATABASE_URL"),
)
"""Variables that user code must not find; most are there when one process plays every role."""


def main() -> int:
    """Run a worker until SIGTERM; return the exit code."""
    return run_process("worker", run, WorkerProcess)


async def run(context: ProcessContext[WorkerProcess]) -> None:
    """Run the worker of one process."""
    variables = secret_variables()
    for name in (*SECRETS, *variables):
        environment.hide_secret(name)
    environment.refuse_inspection()
    named = {name.removeprefix(SECRET_PREFIX): value for name, value in variables.items()}
    secrets = Secrets(context.settings.secrets_dir, named)
    await context.run_roles([], others=[work(context.settings, secrets, context.stop, context.health)])
