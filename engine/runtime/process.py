"""What every process does around its work: settings, logs, signals, health, draining and exit codes."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog
import uvloop

from engine.errors import Misconfigured
from engine.runtime import logs
from engine.runtime.garbage import collect_less_often
from engine.runtime.health import Health, serve_health
from engine.runtime.loop import run_role
from engine.runtime.settings import ProcessSettings
from engine.runtime.settings_loading import load

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from engine.runtime.loop import Role

S = TypeVar("S", bound=ProcessSettings)
S_co = TypeVar("S_co", bound=ProcessSettings, covariant=True)

STOP_ORDER = (
    ("worker",),
    ("public-api", "scheduler"),
    ("internal-api",),
    ("publisher",),
    ("projector",),
)
"""Every role; who is needed by others ends after them."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_MISCONFIGURED = 2

_log = structlog.get_logger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CANCEL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessContext(Generic[S_co]):
    """What a process gets: its settings, the event that tells it to stop, and its health.

    Until `begun` is set it only waits for what it needs: there is nothing to drain, and a signal ends it at
    once.
    """

    name: str
    settings: S_co
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    health: Health = field(default_factory=Health)

    async def run_roles(
        self,
        roles: Iterable[Role],
        *,
        wakes: dict[str, asyncio.Event] | None = None,
        others: Iterable[Coroutine[object, object, None]] = (),
    ) -> None:
        """Run roles (and other coroutines) until `stop`, each with its progress in the health.

        `wakes` maps a role's name to the event that ends its rest. Returns when all have drained; an error
        of one of the other coroutines ends them all and is raised.
        """
        self.begun.set()
        async with asyncio.TaskGroup() as tasks:
            for role in roles:
                run = run_role(
                    role,
                    stop=self.stop,
                    wake=(wakes or {}).get(role.name),
                    progress=self.health.loop(role.name),
                )
                tasks.create_task(run, name=role.name)
            for other in others:
                tasks.create_task(other)


def run_process(
    name: str, main: Callable[[ProcessContext[S]], Coroutine[object, object, None]], settings_type: type[S]
) -> int:
    """Run a process to its end and return its exit code; `main` returns when `context.stop` is set.

    0: main returned, also after SIGTERM or SIGINT, or the signal came before its roles had begun. 1: it
    failed, or was cancelled because it had not returned grace_seconds after the signal (a second signal
    cancels at once). 2: Misconfigured, said on stderr in plain words. The health routes answer from the
    beginning; `name` is in every log line.
    """
    try:
        settings = load(settings_type)
    except Misconfigured as error:
        return _misconfigured(name, [error])
    logs.configure(name, level=settings.log_level, form=settings.log_format)
    collect_less_often()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_supervise(ProcessContext(name=name, settings=settings), main))


async def _supervise(
    context: ProcessContext[S], main: Callable[[ProcessContext[S]], Coroutine[object, object, None]]
) -> int:
    settings = context.settings
    try:
        server = await serve_health(context.health, settings.health_host, settings.health_port)
    except OSError as error:
        where = f"{settings.health_host}:{settings.health_port}"
        reason = Misconfigured(f"PLAYLOG_HEALTH_PORT: cannot listen on {where}: {error.strerror}")
        return _misconfigured(context.name, [reason])
    work = asyncio.create_task(main(context), name=context.name)
    _on_signals(context, work)
    _log.info("process.started", health_port=server.port)
    try:
        await _finish(context, work)
        return _exit_code(context, work)
    finally:
        await server.close()


def _on_signals(context: ProcessContext[S], work: asyncio.Task[None]) -> None:
    def ask(received: signal.Signals) -> None:
        _log.info("process.signal", signal=received.name)
        if context.stop.is_set():
            work.cancel()
        context.stop.set()

    loop = asyncio.get_running_loop()
    for each in _SIGNALS:
        loop.add_signal_handler(each, ask, each)


async def _finish(context: ProcessContext[S], work: asyncio.Task[None]) -> None:
    """Wait until the work is done; after `stop` for grace_seconds if it has begun, then cancel it."""
    stopping = asyncio.create_task(context.stop.wait())
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    context.health.add("process", _stopping)
    grace_seconds = context.settings.grace_seconds
    if context.begun.is_set():
        await asyncio.wait({work}, timeout=grace_seconds)
    if not work.done():
        if context.begun.is_set():
            _log.error("process.not_drained", grace_seconds=grace_seconds)
        work.cancel()
        await asyncio.wait({work}, timeout=_CANCEL_SECONDS)


async def _stopping() -> str | None:
    return "stopping"


def _exit_code(context: ProcessContext[S], work: asyncio.Task[None]) -> int:
    if not work.done() or (work.cancelled() and context.begun.is_set()):
        return EXIT_FAILED
    error = None if work.cancelled() else work.exception()
    if error is None:
        _log.info("process.ended")
        return EXIT_OK
    leaves = list(_leaves(error))
    faults = [leaf for leaf in leaves if isinstance(leaf, Misconfigured)]
    if faults and len(faults) == len(leaves):
        return _misconfigured(context.name, faults)
    _log.critical("process.failed", exc_info=error)
    return EXIT_FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _misconfigured(name: str, faults: Iterable[Misconfigured]) -> int:
    for fault in faults:
        sys.stderr.write(f"playlog {name}: {fault.detail}\n")
    return EXIT_MISCONFIGURED
