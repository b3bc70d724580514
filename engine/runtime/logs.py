"""One structured line an event on stderr: JSON for machines, coloured text for a terminal."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Literal

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

_HIDDEN_KEYS = ("token", "password", "authorization", "secret")
_QUIET_LIBRARIES = ("aiohttp.access", "asyncio", "nats")


def configure(
    process: str,
    *,
    level: str = "info",
    form: Literal["auto", "json", "console"] = "auto",
) -> None:
    """Set up structlog and the standard logging of libraries; every line names process and pid.

    `form` auto writes text when stderr is a terminal and JSON lines with ISO UTC times otherwise.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _Origin(process),
        hide_secrets,
    ]
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(console=console),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the values of keys that name a secret, also inside mappings."""
    for key, value in event.items():
        event[key] = _shown(key, value)
    return event


def _shown(key: str, value: object) -> object:
    if any(word in key.lower() for word in _HIDDEN_KEYS):
        return "***"
    if isinstance(value, dict):
        return {str(inner): _shown(str(inner), held) for inner, held in value.items()}
    return value


class _Origin:
    """Adds the process and its pid to a line."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._pid = os.getpid()

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = self._process
        event["pid"] = self._pid
        return event


def _renderers(*, console: bool) -> list[Processor]:
    if console:
        # The default frames every local variable: that takes seconds, in which nothing else runs.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(pad_event_to=0, exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
