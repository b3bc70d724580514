"""One execution as people read it: where it stands, what it waits for, what stands in its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from playlog.answers import Execution, Incident, Waiting
from playlog.cli.tables import duration, items_text, local_time, status_text, value_view

WORDS: Mapping[str, str] = {
    "claim": "waits for a worker of pool {name}",
    "result": "runs on a worker of pool {name}",
    "retry": "tries again",
    "child": "waits for execution {name}",
    "signal": "waits for the signal {name}",
    "moment": "waits for its moment",
    "resume": "paused, waits for an operator to resume it",
    "event": "waits for events of the system that it belongs to",
}
HELD = "waits until an operator resumes the execution"


def execution_view(execution: Execution, incidents: Sequence[Incident] = ()) -> RenderableType:
    """One execution: its standing, what it waits for, what stands in its way, and its values."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, fact in _facts(execution):
        facts.add_row(name, fact)
    for incident in incidents:
        facts.add_row("incident", Text(incident_text(incident), style="bold red"))
    values = [
        value_view(name, value)
        for name in ("inputs", "output", "error")
        if (value := _value(execution, name)) is not None
    ]
    return Group(facts, *values)


def waiting_text(waiting: Waiting) -> str:
    """One line: `fetch: waits for a worker of pool default, since 3 m 05 s, until 2026-01-02 03:04:05`."""
    owner, _, name = waiting["owner"].partition(":")
    words = WORDS.get(waiting["what"], waiting["what"]).format(name=name or owner)
    if waiting["what"] == "claim" and owner == "operator":
        words = HELD
    parts = [words]
    if waiting["since"]:
        parts.append(f"since {duration(waiting['since'], None)}")
    if waiting["not_before"]:
        parts.append(f"not before {local_time(waiting['not_before'])}")
    if waiting["until"]:
        parts.append(f"until {local_time(waiting['until'])}")
    return _subject(waiting) + ", ".join(parts)


def incident_text(incident: Incident) -> str:
    """What is wrong and what to do, in two sentences or more."""
    return f"{incident['kind']}: {incident['detail']}. {incident['remedy']}".replace("`", "")


def _subject(waiting: Waiting) -> str:
    step, attempt, items = waiting["step"], waiting["attempt"] or 0, waiting["items"]
    if step is None:
        return ""
    notes = []
    if waiting["undoing"]:
        notes.append("being undone")
    if items is not None:
        notes.append(f"{items['completed']} of {items['total']} items done, {items['open']} open")
        notes.append(f"oldest item {waiting['item']}")
    if attempt > 1:
        notes.append(f"attempt {attempt}")
    return f"{step} ({', '.join(notes)}): " if notes else f"{step}: "


def _facts(execution: Execution) -> list[tuple[str, RenderableType]]:
    progress = execution["progress"]
    counts = [f"{progress['completed']} of {progress['total']} steps completed"]
    counts += [f"{progress[kind]} {kind}" for kind in ("failed", "running", "skipped") if progress[kind]]
    items = items_text(progress["items"])
    facts: list[tuple[str, RenderableType]] = [
        ("execution", Text(execution["execution_id"])),
        ("playbook", Text(f"{execution['playbook'] or '-'} version {execution['playbook_version']}")),
        ("status", status_text(execution["status"])),
        ("version", Text(str(execution["version"]))),
        ("progress", Text(", ".join(counts))),
        *([("items", Text(items))] if items else []),
        ("started", Text(local_time(execution["started_at"]))),
        ("duration", Text(duration(execution["started_at"], execution["ended_at"]))),
    ]
    facts += [("waits", Text(waiting_text(each))) for each in execution["waiting_for"]]
    if execution["labels"]:
        labels = ", ".join(f"{name}={value}" for name, value in execution["labels"].items())
        facts.append(("labels", Text(labels)))
    return facts


def _value(execution: Execution, name: str) -> JsonValue:
    values: dict[str, JsonValue] = {
        "inputs": execution["inputs"],
        "output": execution["output"],
        "error": execution["error"],
    }
    return values[name]
