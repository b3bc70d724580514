"""Random playbooks over the whole language, valid by construction."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson

from engine.domain.definition import Definition
from engine.language import parse
from tests.support.anything import TOOLS

CHILDREN = ("t/child", "t/grandchild")
FLAGS = ("f0", "f1", "f2")
SIGNALS = ("go", "stop")
BAG = {"x": 1, "when": "2026-01-01T00:30:00Z"}

Written = dict[str, Any]


def family(rng: Random) -> dict[str, Definition]:
    """A playbook `t/main` and those it may start as children."""
    sources = [
        playbook(rng, "t/grandchild", 3, ()),
        playbook(rng, "t/child", 4, ("t/grandchild", "t/missing")),
        playbook(rng, "t/main", rng.randint(1, 9), ("t/child", "t/grandchild", "t/missing")),
    ]
    return {source["playbook"]: parse(orjson.dumps(source), tools=TOOLS).definition for source in sources}


def playbook(rng: Random, path: str, size: int, children: tuple[str, ...]) -> Written:
    steps = Composer(rng, children).steps(size)
    source: Written = {"playbook": path, "inputs": inputs(rng), "steps": steps}
    if rng.random() < 0.3:
        source["deadline"] = rng.choice(["3h", "20h", "3d"])
    if rng.random() < 0.7:
        read = [f"steps.{step['name']}.status" for step in steps]
        read += [f"steps.{step['name']}.errors" for step in steps if "map" in step]
        source["output"] = "${ [" + ", ".join(read) + "] }"
    elif rng.random() < 0.3:
        source["output"] = f"${{ steps.{rng.choice(steps)['name']}.output }}"
    return source


def inputs(rng: Random) -> Written:
    items = [{"v": rng.randint(0, 9), "w": rng.randint(0, 1)} for _ in range(rng.choice([0, 1, 2, 3, 7]))]
    for item in items:
        if rng.random() < 0.1:
            del item[rng.choice(["v", "w"])]
    found: Written = {name: {"type": "boolean", "default": rng.random() < 0.5} for name in FLAGS}
    found["items"] = {"type": "array", "default": items}
    found["bag"] = {"type": "any", "default": rng.choice([*[BAG] * 5, {}, 3])}
    return found


class Composer:
    """Puts pieces of a graph in a row; `_tails` are the steps that the next piece has to follow."""

    def __init__(self, rng: Random, children: tuple[str, ...]) -> None:
        self._rng = rng
        self._children = children
        self._steps: list[Written] = []
        self._tails: list[str] = []

    def steps(self, size: int) -> list[Written]:
        while len(self._steps) < size:
            pieces = [self._single, self._single, self._parallel, self._choice, self._cycle, self._detour]
            self._rng.choice(pieces)()
        return self._steps

    def _add(self, **keys: Any) -> str:
        name = f"s{len(self._steps)}"
        self._steps.append({"name": name, **self._work(name), **keys})
        return name

    def _first(self, **keys: Any) -> str:
        """The first step of a piece: it needs the tails, or follows the only one by order."""
        plain = len(self._tails) == 1 and self._tails[0] == f"s{len(self._steps) - 1}"
        if not plain or self._rng.random() < 0.5:
            keys |= {"needs": [*self._tails], "join": self._rng.choice(["all", "all", "any"])}
        name = self._add(**keys)
        step = self._steps[-1]
        if self._tails and step.get("tool") == "noop" and self._rng.random() < 0.5:
            read = self._rng.choice(self._tails)
            step["with"]["read"] = f"${{ steps.{read}.status == 'completed' ? steps.{read}.output : null }}"
        return name

    def _single(self) -> None:
        self._tails = [self._first()]

    def _parallel(self) -> None:
        ends = []
        for _ in range(self._rng.randint(2, 3)):
            end = self._add(needs=[*self._tails])
            if self._rng.random() < 0.3:
                end = self._add()
            ends.append(end)
        self._tails = ends

    def _choice(self) -> None:
        fork = self._first()
        one, other, merge = (f"s{len(self._steps) + place}" for place in range(3))
        default = self._rng.choice([other, other, "end", merge])
        self._steps[-1]["next"] = [{"when": self._after(fork), "step": one}, {"default": default}]
        if default != other:
            self._steps[-1]["next"].insert(0, {"when": self._guard(), "step": other})
        self._add(next=merge)
        self._add(next=self._rng.choice([merge, merge, "end"]))
        self._tails = [self._add()]

    def _cycle(self) -> None:
        beside = [self._first()] if self._rng.random() < 0.4 else []
        self._first()
        entry, middle = self._add(), self._add()
        out = f"s{len(self._steps)}"
        if self._rng.random() < 0.3:
            out = f"s{len(self._steps) + 1}"
            last = f"s{len(self._steps)}"
            self._steps[-2]["next"] = [{"when": self._after(entry), "step": last}, {"default": middle}]
            middle = self._add()
        again = {"when": self._after(middle), "step": entry}
        if self._rng.random() < 0.02:
            again = {"when": "true", "step": entry}
        self._steps[-1]["next"] = [again, {"default": self._rng.choice([out, out, "end"])}]
        if self._steps[-1]["next"][1]["default"] == "end":
            self._steps[-1]["next"].insert(0, {"when": self._guard(), "step": out})
        joined = {"needs": [middle, *beside], "join": self._rng.choice(["all", "any"])} if beside else {}
        self._tails = [self._add(**joined)]

    def _detour(self) -> None:
        """A step whose failure, or time-out, leads to another step than its success."""
        usual, other, merge = (f"s{len(self._steps) + place}" for place in range(1, 4))
        waits = self._rng.random() < 0.4
        self._first(next=usual)
        step = self._steps[-1]
        if waits:
            kept: Written = {
                key: step[key] for key in ("name", "needs", "join", "next", "when") if key in step
            }
            self._steps[-1] = {**kept, "wait": {"event": "go", "timeout": "1h", "on_timeout": other}}
        else:
            when = self._rng.choice([{}, {"when": "error.code == 'boom'"}])
            step["on_error"] = [{**when, "then": other}]
        self._add(next=merge)
        self._add(next=merge)
        self._tails = [self._add()]

    def _guard(self) -> str:
        flag = self._rng.choice(FLAGS)
        return self._rng.choice([f"inputs.{flag}", f"!inputs.{flag}"])

    def _after(self, name: str) -> str:
        """A guard over what the step has just given."""
        step = next(step for step in self._steps if step["name"] == name)
        gives_null = "event" not in step.get("wait", {"event": ""})
        if gives_null or self._rng.random() < 0.3:
            return self._guard()
        output = f"steps.{name}.output"
        more = f"size({output}) > 2" if "map" in step else f"{output}.?again.orValue(false)"
        return f"steps.{name}.status == 'completed' && {more}"

    def _work(self, name: str) -> Written:
        made = self._rng.choice([self._tool, self._tool, self._tool, self._wait, self._map, self._repeat])(
            name
        )
        if self._rng.random() < 0.25:
            made["when"] = self._guard() if self._rng.random() < 0.9 else "inputs.bag.x == 1"
        if self._rng.random() < 0.3:
            made["deadline"] = "2h" if "wait" in made else self._rng.choice(["30s", "2h"])
        if self._rng.random() < 0.8:
            made["on_error"] = self._answers()
        if "tool" in made and self._rng.random() < 0.3:
            made["compensate"] = self._undoing(name)
        return made

    def _answers(self) -> list[Written]:
        last: Written = {"then": self._rng.choice([*["skip", "continue"] * 4, "fail"])}
        if self._rng.random() < 0.3:
            return [{"when": "error.code == 'boom'", "then": self._rng.choice(["skip", "continue"])}, last]
        return [last]

    def _undoing(self, name: str) -> Written:
        made: Written = {"tool": "noop", "with": {"undo": f"${{ steps.{name}.output }}"}}
        if self._rng.random() < 0.5:
            made["retry"] = self._retry()
        if self._children and self._rng.random() < 0.2:
            made |= {"tool": "playbook", "with": {"playbook": self._rng.choice(self._children)}}
        return made

    def _tool(self, _: str) -> Written:
        if self._children and self._rng.random() < 0.3:
            asked: Written = {"playbook": self._rng.choice(self._children)}
            if self._rng.random() < 0.1:
                asked["inputs"] = {"unknown": 1}
            made: Written = {"tool": "playbook", "with": asked}
        else:
            made = {"tool": "noop", "with": {"attempt": "${ attempt }"}}
            if self._rng.random() < 0.1:
                made["with"]["x"] = "${ inputs.bag.x }"
        if self._rng.random() < 0.5:
            made["retry"] = self._retry()
        return made

    def _retry(self) -> Written:
        made: Written = {
            "max_attempts": self._rng.randint(1, 3),
            "delay": self._rng.choice(["0s", "1s", "10s"]),
        }
        if self._rng.random() < 0.3:
            made["jitter"] = 0.5
        if self._rng.random() < 0.3:
            made["on"] = self._rng.choice(
                ["error.code == 'boom'", "error.attempt < 3", "error.details.x == 1"]
            )
        if self._rng.random() < 0.2:
            made["on_lost"] = "fail"
        return made

    def _wait(self, _: str) -> Written:
        return {
            "wait": self._rng.choice(
                [
                    {"for": "5m"},
                    {"for": "0s"},
                    {"event": self._rng.choice(SIGNALS), "timeout": "1h"},
                    {"event": self._rng.choice(SIGNALS), "timeout": "1h", "on_timeout": "skip"},
                    {"until": "execution.started_at"},
                    {"until": "'2026-01-03T00:00:00Z'", "timeout": "1h", "on_timeout": "skip"},
                    {"until": "inputs.bag.when", "timeout": "1h"},
                ]
            )
        }

    def _map(self, name: str) -> Written:
        made = self._tool(name)
        wanted: Written = {"items": "${ inputs.items }", "max_in_flight": self._rng.randint(1, 4)}
        if self._rng.random() < 0.1:
            wanted["items"] = "${ inputs.bag }"
        if self._rng.random() < 0.2:
            wanted["key"] = "item.v"
        if self._rng.random() < 0.6:
            wanted["on_item_error"] = "continue"
        if made["tool"] == "noop" and self._rng.random() < 0.7:
            made["with"] = {"v": self._rng.choice(["${ item.v }", "${ item.w }", "${ item.none }"])}
        return {**made, "map": wanted}

    def _repeat(self, name: str) -> Written:
        made = self._tool(name)
        wanted: Written = {"max": self._rng.randint(1, 4), "delay": self._rng.choice(["0s", "1s"])}
        if self._rng.random() < 0.6:
            wanted["until"] = self._rng.choice(["!output.again", "iteration == 2", "output.again.x == 1"])
        return {**made, "repeat": wanted}
