"""Every outcome that docs/concepts/playbooks.md tells is the one that comes about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from engine.domain.execution import Slot
from engine.domain.vocabulary import StepStatus
from tests.support.pages import Block, parts_of, tables_of
from tests.support.play import Play, definition_of
from tests.support.tree import ROOT

PAGE = ROOT / "docs/concepts/playbooks.md"
OUTCOME = ["when", "then the steps", "and the execution"]
MOST_TURNS = 50
TIMES = {None: MOST_TURNS, " once": 1, " twice": 2, " three times": 3}
NOTHING = {"nothing special happens", "nobody answers"}
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
    dies: dict[str, int] = field(default_factory=dict)
    gives: dict[str, list[object]] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    signals: list[str] = field(default_factory=list)
    inputs: dict[str, object] = field(default_factory=dict)

    def take(self, words: str) -> None:
        """Take in one of the sentences that pages use."""
        if found := re.fullmatch(r"`([\w\[\]]+)` fails( once| twice)?", words):
            self.fails[found[1]] = TIMES[found[2]]
        elif found := re.fullmatch(r"the worker of `(\w+)` dies( once| twice| three times)?", words):
            self.dies[found[1]] = TIMES[found[2]]
        elif found := re.fullmatch(r"`(\w+)` gives `(.+)`", words):
            self.gives[found[1]] = [json.loads(found[2])]
        elif found := re.fullmatch(r"then `(.+)`", words):
            next(iter(self.gives.values())).append(json.loads(found[1]))
        elif found := re.fullmatch(r"`(\w+)` never ends", words):
            self.hangs.add(found[1])
        elif found := re.fullmatch(r"the signal `(\w+)` comes", words):
            self.signals.append(found[1])
        elif found := re.fullmatch(r"`inputs\.(\w+)` is `(.+)`", words):
            self.inputs[found[1]] = json.loads(found[2])
        else:
            assert words in NOTHING, f"nothing plays this: {words}"


def happening(sentence: str) -> Happening:
    told = Happening()
    for words in sentence.split(", "):
        told.take(words)
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
            for when, steps, end in part.rows:
                yield source, when, steps, end
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
