"""What the demonstration runs: each example as it happens, step by step, and how it has to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources

from pydantic import JsonValue
from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from engine.domain.vocabulary import EventType
from playlog.answers import Event, Execution, Step
from playlog.cli.live import print_event
from playlog.cli.tables import duration, status_text, steps_view, value_view
from playlog.client import Client

SERVICE_ADDRESS = "127.0.0.1:8099"
"""Where the examples expect their service; the demonstration may have to move it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One example: its file, what goes in, and what has to come out."""

    name: str
    about: str
    inputs: Mapping[str, JsonValue] = field(default_factory=dict)
    output: JsonValue
    attempts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An example that was run: the execution as it ended, and what is wrong with that."""

    execution: Execution
    faults: list[str]


CHAPTERS = (
    Chapter(
        name="hello",
        about="two steps, one after the other",
        inputs={"name": "Ada"},
        output={"greeting": "Hello, Ada!"},
    ),
    Chapter(
        name="fan_in",
        about="two branches at the same time, and a step that is skipped",
        output={"greetings": ["Hello, left!", "Hello, right!"], "audited": False},
    ),
    Chapter(
        name="orders",
        about="a service that fails twice, a map, a signal to wait for",
        inputs={"day": "2026-01-02"},
        output={"orders": 3, "published": True},
        attempts={"fetch": 3},
    ),
)


async def tell(client: Client, console: Console, chapter: Chapter, service: str) -> Told:
    """Register an example, run it in sight, and show how it ended; `service` is `host:port`."""
    registered = await client.register(source_of(chapter.name).replace(SERVICE_ADDRESS, service))
    console.print(Rule(Text.assemble((registered["path"], "bold"), f": {chapter.about}"), align="left"))
    started = await client.start(registered["path"], chapter.inputs)
    execution_id = started["execution_id"]
    console.print(Text(f"execution {execution_id}", style="dim"))
    async for event in client.stream(execution_id):
        print_event(console, event)
        await _answer(client, console, execution_id, event)
    execution = await client.wait(execution_id)
    steps = await client.steps(execution_id, min_version=execution["version"], wait=5.0)
    _show(console, execution, steps)
    return Told(execution=execution, faults=list(_faults(chapter, execution, steps)))


def source_of(name: str) -> str:
    """The source of an example."""
    return (resources.files("playbooks.examples") / f"{name}.yaml").read_text(encoding="utf-8")


async def _answer(client: Client, console: Console, execution_id: str, event: Event) -> None:
    """Send the signal that a step has begun to wait for."""
    payload = event["payload"]
    if event["event_type"] != EventType.WAIT_OPENED or not isinstance(payload, dict):
        return
    name = payload.get("event")
    if isinstance(name, str):
        console.print(Text(f"{'':14}the demo sends the signal {name}", style="bold magenta"))
        await client.signal(execution_id, name, {"by": "playlog demo"})


def _show(console: Console, execution: Execution, steps: list[Step]) -> None:
    console.print()
    console.print(Padding(steps_view(steps), (0, 0, 1, 2)))
    took = duration(execution["started_at"], execution["ended_at"])
    line = status_text(execution["status"]).append(f" after {took}", style="default not bold")
    console.print(Padding(line, (0, 0, 0, 2)))
    console.print(Padding(value_view("output", execution["output"]), (0, 0, 1, 2)))


def _faults(chapter: Chapter, execution: Execution, steps: list[Step]) -> list[str]:
    faults = []
    if execution["status"] != "completed":
        faults.append(f"{chapter.name} has {execution['status']}: {execution['error']}")
    if execution["output"] != chapter.output:
        faults.append(f"{chapter.name} answered {execution['output']}, not {chapter.output}")
    attempts = {step["step"]: step["attempts"] for step in steps}
    for step, wanted in chapter.attempts.items():
        if attempts.get(step) != wanted:
            faults.append(f"{chapter.name}: {step} took {attempts.get(step)} attempts, not {wanted}")
    return faults
