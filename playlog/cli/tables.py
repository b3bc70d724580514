"""Lists of executions and steps, values and times as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import orjson
from pydantic import JsonValue
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from engine.domain.events import parse_iso
from playlog.answers import Items, Listed, Step

STYLES = {
    "completed": "green",
    "failed": "bold red",
    "timed_out": "bold red",
    "cancelled": "yellow",
    "skipped": "dim",
    "waiting": "yellow",
    "running": "cyan",
    "retrying": "magenta",
    "queued": "cyan",
    "pending": "dim",
}
MINUTE, HOUR = 60.0, 3600.0
KIB = 1024
SHORT = 66
"""With its name, a value of so many characters fits into 80 columns."""
FOLDED = frozenset({"playbook", "step", "note"})
"""Columns whose words may go on in the next line."""


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=STYLES.get(status, ""))


def new_table(*columns: str) -> Table:
    """A table without frames; columns whose name ends in `>` are aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for name in columns:
        right, folds = name.endswith(">"), name in FOLDED
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(name.rstrip(">"), justify=justify, overflow="fold", no_wrap=not folds)
    return table


def value_view(name: str, value: JsonValue) -> RenderableType:
    """A JSON value under its name; short ones on one line."""
    kept = _kept_apart(value)
    short = kept or (_error(value) if name == "error" else orjson.dumps(value).decode())
    title = Text(f"{name}", style="dim")
    if len(short) <= SHORT or name == "error" or kept:
        return title.append(f"{' ' * max(2, 11 - len(name))}").append(short, style="default not dim")
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    code = Syntax(text, "json", background_color="default", word_wrap=True)
    return Group(title, Padding(code, (0, 0, 0, 2)))


def _kept_apart(value: JsonValue) -> str:
    """How to see a large value, for one that is only referred to; else nothing."""
    reference = value.get("reference") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(reference, dict):
        return ""
    uri, size = reference.get("uri"), reference.get("bytes")
    if not isinstance(uri, str) or not isinstance(size, int):
        return ""
    count = f"{reference['count']} elements, " if isinstance(reference.get("count"), int) else ""
    return f"{count}{bytes_text(size)}, shown by: playlog payload {uri}"


def _error(value: JsonValue) -> str:
    if isinstance(value, dict) and "code" in value and "message" in value:
        at = f" (step {value['step']})" if value.get("step") else ""
        return f"{value['code']}: {value['message']}{at}"
    return orjson.dumps(value).decode()


def list_view(items: Sequence[Listed]) -> RenderableType:
    """Executions, one a line."""
    if not items:
        return Text("no executions")
    table = new_table("execution", "playbook", "status", "started", "duration>")
    for each in items:
        table.add_row(
            Text(each["execution_id"]),
            Text(each["playbook"] or "-"),
            status_text(each["status"]),
            Text(local_time(each["started_at"])[5:]),
            Text(duration(each["started_at"], each["ended_at"])),
        )
    return table


def steps_view(steps: Sequence[Step]) -> RenderableType:
    """Steps, one a line."""
    table = new_table("step", "status", "attempts>", "duration>", "note")
    for each in steps:
        table.add_row(
            Text(each["step"]),
            status_text(each["status"]),
            Text(str(each["attempts"]) if each["attempts"] else "-"),
            Text("-" if each["skip_reason"] else duration(each["started_at"], each["ended_at"])),
            Text(each["skip_reason"] or items_text(each["items"]), style="dim"),
        )
    return table


def items_text(items: Items | None) -> str:
    """Where the items of maps stand: `120/200 items, 2 failed, 20 open`, or nothing."""
    if items is None:
        return ""
    counts = [f"{items['completed']}/{items['total']} items"]
    counts += [f"{items['failed']} failed"] if items["failed"] else []
    counts += [f"{items['open']} open"] if items["open"] else []
    return ", ".join(counts)


def duration(started: str | None, ended: str | None) -> str:
    """The time between two moments; from the first to now when the second is still to come."""
    if started is None:
        return "-"
    until = datetime.now(UTC) if ended is None else parse_iso(ended)
    return seconds_text(max(0.0, (until - parse_iso(started)).total_seconds()))


def seconds_text(seconds: float) -> str:
    """A duration as people say it: `12 ms`, `3.4 s`, `2 m 05 s`, `1 h 03 m`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} m {int(seconds % MINUTE):02d} s"
    return f"{int(seconds // HOUR)} h {int(seconds % HOUR // MINUTE):02d} m"


def bytes_text(size: int) -> str:
    """A size as people say it: `900 bytes`, `300 KiB`, `5.0 MiB`."""
    if size < KIB:
        return f"{size} bytes"
    return f"{size / KIB:.0f} KiB" if size < KIB * KIB else f"{size / KIB / KIB:.1f} MiB"


def local_time(moment: str | None) -> str:
    """A moment in the local time zone, to the second."""
    return "-" if moment is None else parse_iso(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
