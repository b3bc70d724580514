"""Every outcome that docs/concepts/playbooks.md tells is the one that comes about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from engine.domain.execution import Slot
from engine.domain.vocabulary import StepStatus
from tests.support.pages import Block, Table, parts_of, tables_of
from tests.support.play import Play, definition_of
from tests.support.tree import ROOT

PAGE = ROOT / "docs/concepts/playbooks.md"
OUTCOME = ["when", "then the steps", "and the execution"]
MOST_TURNS = 50
ONE_STEP = """
playbook: shown/one
steps:
  - {{name: before, tool: noop}}
  - name: do{tool}
    {key}
  - {{name: after, tool: noop}}
"""


@dataclass(slots=True)
class Happening:
    """What a page says of tools, workers and people; what it does not speak of completes with null."""

    fails: dict[str, int] = field(default_factory=dict)
    gives: dict[str, list[object]] = field(default_factory=dict)
    dies: dict[str, int] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    signals: list[str] = field(default_factory=list)
    inputs: dict[str, object] = field(default_factory=dict)


def happening(words: str) -> Happening:
    told = Happening()
    for rule, take in (
        (r"`([\w\[\]]+)` fails( once)?", lambda name, once: told.fails.update({name: 1 if once else 99})),
        (
            r"the worker of `(\w+)` dies( once)?",
            lambda name, once: told.dies.update({name: 1 if once else 99}),
        ),
        (r"`(\w+)` never ends()", lambda name, _: told.hangs.add(name)),
        (r"the signal `(\w+)` comes()", lambda name, _: told.signals.append(name)),
        (r"`inputs\.(\w+)` is `(.+?)`", lambda name, value: told.inputs.update({name: json.loads(value)})),
        (r"`(\w+)` gives `(.+?)`", lambda name, value: told.gives.update({name: [json.loads(value)]})),
        (r"then `(.+?)`()", lambda value, _: next(iter(told.gives.values())).append(json.loads(value))),
        (r"nothing special happens()()|nobody answers()()", lambda *_: None),
    ):
        words, found = re.subn(rule, lambda match, take=take: take(match[1], match[2]) and "" or "", words)
    assert not words.strip(" ,;"), f"nothing plays this: {words}"
    return told


def played(source: str, told: Happening) -> Play:
    """Play an execution to its end; whoever waits in vain is reached by the next timer."""
    definition = definition_of(source)
    defaults = {name: spec.get("default") for name, spec in definition.inputs.items()}
    play = Play(definition, defaults | told.inputs)
    play.start()
    for name in told.signals:
        play.signal(name)
    for _ in range(MOST_TURNS):
        if play.state.is_ended:
            break
        working = [name for name in play.open_steps if name not in told.hangs]
        if working:
            settle(play, working[0], told)
        else:
            play.fire(min(play.open_timers, key=lambda key: str(play.state.timers[key])))
    play.check_replay()
    return play


def settle(play: Play, slot: str, told: Happening) -> None:
    if told.dies.get(slot):
        told.dies[slot] -= 1
        play.lose(slot)
    elif told.fails.get(slot):
        told.fails[slot] -= 1
        play.fail(slot)
    else:
        values = told.gives.get(Slot.parse(slot).step, [None])
        play.complete(slot, values.pop(0) if len(values) > 1 else values[0])


def steps_of(play: Play) -> str:
    return ", ".join(f"{name} {standing(play, name)}" for name in play.definition.steps)


def standing(play: Play, name: str) -> str:
    status = play.state.status_of(name)
    reason = play.state.steps[name].skip_reason if status is StepStatus.SKIPPED else None
    return f"{status} ({reason})" if reason else status.value


def end_of(play: Play) -> str:
    status = play.state.status
    return status.value if status == "completed" else f"{status.value}: {play.error['code']}"


def cases() -> Iterator[tuple[str, str, str, str]]:
    """The source, what happens, the steps and the end of each row."""
    source = ""
    for part in parts_of(PAGE):
        if isinstance(part, Block):
            source = part.text if part.kind == "yaml" else source
        elif part.head == OUTCOME:
            yield from ((source, *row) for row in part.rows)
    for table in tables_of(PAGE, "key of `do`"):
        for key, when, do, after, end in table.rows:
            yield with_key(key.strip("`")), when, f"before completed, do {do}, after {after}", end


def with_key(key: str) -> str:
    tool = "" if key.startswith("wait:") else "\n    tool: noop"
    return ONE_STEP.format(tool=tool, key=key)


CASES = list(cases())


def test_the_page_tells_outcomes() -> None:
    assert len(CASES) > 20


@pytest.mark.parametrize(("source", "when", "steps", "end"), CASES)
def test_what_the_page_tells_comes_about(source: str, when: str, steps: str, end: str) -> None:
    play = played(source, happening(when))
    assert (steps_of(play), end_of(play)) == (steps, end)
