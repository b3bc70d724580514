"""The log lines of several processes as one readable text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import orjson
from rich.console import Console
from rich.text import Text

COLOURS = {
    "public-api": "cyan",
    "internal-api": "blue",
    "publisher": "magenta",
    "projector": "green",
    "scheduler": "yellow",
    "worker": "bright_cyan",
    "standalone": "green",
}
LEVELS = {"debug": "dim", "warning": "bold yellow", "error": "bold red", "critical": "bold red"}
ORDINARY = frozenset({"debug", "info", "warning"})
WIDTH = 12
_NOT_SHOWN = frozenset({"time", "level", "event", "process", "pid", "exception"})

Emit = Callable[[str, str], None]
"""Takes the name of a process and one line it wrote."""


@dataclass(slots=True)
class LinePrinter:
    """Prints lines as they come; `raw` leaves them as the processes wrote them.

    While `starting`, what only says that others are not there yet is left out.
    """

    console: Console
    raw: bool = False
    starting: bool = True

    def __call__(self, process: str, line: str) -> None:
        """Print one line of a process."""
        fields = _fields(line)
        if self.starting and fields.get("level") in ORDINARY:
            return
        if self.raw:
            self.console.out(line, highlight=False)
        else:
            self.console.print(render(process, line), soft_wrap=True)


def render(process: str, line: str) -> Text:
    """Return a line with the process in front; one of our JSON lines as `time event key=value ...`."""
    text = Text()
    text.append(f"{process:<{WIDTH}} ", style=COLOURS.get(process, "white"))
    fields = _fields(line)
    return text.append_text(_structured(fields)) if fields else text.append(line)


def _fields(line: str) -> dict[str, object]:
    """The fields of one of our JSON lines; none for any other line."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) and "event" in fields else {}


def _structured(fields: dict[str, object]) -> Text:
    text = Text()
    text.append(f"{_clock(fields.get('time'))} ", style="dim")
    level = str(fields.get("level", "info"))
    if level != "info":
        text.append(f"{level} ", style=LEVELS.get(level, ""))
    text.append(str(fields["event"]), style=LEVELS.get(level, ""))
    for name, value in fields.items():
        if name not in _NOT_SHOWN:
            text.append(f" {name}=", style="dim").append(_plain(value))
    if "exception" in fields:
        trace = str(fields["exception"]).rstrip()
        text.append("\n").append(trace if level not in ORDINARY else trace.rpartition("\n")[2], style="dim")
    return text


def _plain(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _clock(value: object) -> str:
    """The local time of day of an ISO time."""
    try:
        return datetime.fromisoformat(str(value)).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return "--:--:--"
