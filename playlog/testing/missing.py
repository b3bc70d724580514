"""What to do about what a test has left out: the words of the errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import orjson

from engine.domain.definition import Definition
from engine.domain.execution import Slot
from engine.language.faults import did_you_mean
from playlog.testing.errors import Unknown, Unscripted
from playlog.testing.results import Call, Script
from playlog.testing.story import told
from playlog.testing.stream import MemoryStream

WITHOUT_SCRIPT = frozenset({"noop", "playbook"})
MOST_INPUT = 300


def result(definition: Definition, script: Script, tool: str, call: Call) -> Unscripted:
    """A tool is called, and nothing says what it gives; names every other step that lacks a result too."""
    verb = "with_compensations" if call.undoing else "with_results"
    shown = orjson.dumps(call.input).decode()
    shown = shown if len(shown) <= MOST_INPUT else f"{shown[:MOST_INPUT]}..."
    also = sorted(
        step.name
        for step in definition.steps.values()
        if step.tool not in {None, *WITHOUT_SCRIPT} and not script.has(step.name) and step.name != call.step
    )
    more = f"\nwithout a result, too: {', '.join(also)}" if also else ""
    what = "the compensation of " if call.undoing else ""
    return Unscripted(
        f"{what}the step {call.step} of {definition.path} calls the tool {tool}, and nothing says what it "
        f"gives: add .{verb}({call.step}=...)\nits input is {shown}{more}"
    )


def playbook(
    definition: Definition, slot: Slot, path: str, version: object, registered: Mapping[str, object]
) -> Unscripted:
    """A child is started, and its playbook is not there."""
    which = path if version is None else f"{path}, version {version}"
    hint = did_you_mean(path, registered)
    return Unscripted(
        f"the step {slot.step} of {definition.path} starts {which}, which is not registered"
        f"{f', {hint}' if hint else ''}: add .with_playbook(...), or .with_results({slot.step}=...) for what "
        "such a child gives"
    )


def check_steps(definition: Definition, names: Iterable[str]) -> None:
    """Raise `Unknown` for the first name that is no step of the playbook."""
    for name in names:
        if name not in definition.steps:
            raise Unknown(_no(definition, f"step {name}", name, definition.steps))


def check_undoings(definition: Definition, names: Iterable[str]) -> None:
    """Raise `Unknown` for the first step that is not there or that nothing undoes."""
    undone = {name for name, step in definition.steps.items() if step.compensate is not None}
    for name in names:
        if name not in undone:
            raise Unknown(_no(definition, f"step {name} with `compensate`", name, undone))


def check_signal(definitions: Iterable[Definition], name: str) -> None:
    """Raise `Unknown` when no step of the playbooks waits for such a signal."""
    found = list(definitions)
    events = {
        step.wait.event
        for definition in found
        for step in definition.steps.values()
        if step.wait is not None and step.wait.event is not None
    }
    if name not in events:
        raise Unknown(_no(found[0], f"wait for the signal {name}", name, events))


def stuck(stream: MemoryStream, began: datetime) -> str:
    """What an execution waits for that nobody will ever do."""
    waits = [f"the signal {name} (.with_signal)" for name in stream.state.waits]
    waits += [f"the command of {slot}" for slot in stream.state.commands.values()]
    what = f"it waits for {', '.join(waits) or 'nothing'}"
    paused = " while it is paused (.with_resume)" if stream.state.paused else ""
    return f"nobody moves {stream.definition.path} any more: {what}{paused}\n{told(stream, began)}"


def _no(definition: Definition, what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    hint = did_you_mean(name, names) or f"there are: {', '.join(names) or 'none'}"
    return f"{definition.path} has no {what}, {hint}"
