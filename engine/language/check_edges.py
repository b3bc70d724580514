"""The edges of a playbook: every target exists, every step can be reached, and cycles can be followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from engine.language import graph
from engine.language.faults import Path
from engine.language.model import Branch, Step
from engine.language.report import Report

_SHOWN = 20
_ANSWERS = frozenset({graph.SKIP, graph.CONTINUE, graph.FAIL})


class EdgeCheck:
    """Checks the targets that steps name; `known` stays True while all of them exist."""

    def __init__(self, steps: Sequence[Step], report: Report, names: AbstractSet[str]) -> None:
        self._needs = {step.name: step.needs for step in steps}
        self._report = report
        self._names = names
        self.known = True

    def step(self, path: Path, step: Step) -> None:
        """Check `needs`, `next`, `wait.on_timeout` and `on_error` of one step."""
        self._sources((*path, "needs"), step)
        if isinstance(step.next, str):
            self._target((*path, "next"), step, step.next, {graph.END})
        elif step.next is not None:
            self._branches((*path, "next"), step, step.next)
        if step.wait is not None:
            self._target((*path, "wait", "on_timeout"), step, step.wait.on_timeout, {graph.SKIP, graph.FAIL})
        for number, answer in enumerate(step.on_error or ()):
            self._target((*path, "on_error", number, "then"), step, answer.then, _ANSWERS)

    def _sources(self, path: Path, step: Step) -> None:
        seen: set[str] = set()
        for number, source in enumerate(step.needs or ()):
            here = (*path, number)
            if self._exists(here, source, set()) and source == step.name:
                self._report.add(here, "a step cannot need itself", "remove it")
            if source in seen:
                self._report.add(here, f'"{source[:60]}" is listed twice', "keep one of them")
            seen.add(source)

    def _branches(self, path: Path, step: Step, branches: Sequence[Branch]) -> None:
        for number, branch in enumerate(branches):
            here = (*path, number)
            if branch.default is None and branch.step is not None and branch.when is not None:
                self._target((*here, "step"), step, branch.step, {graph.END})
            elif branch.default is not None and branch.step is None and branch.when is None:
                self._target((*here, "default"), step, branch.default, {graph.END})
                if number < len(branches) - 1:
                    self._report.add(
                        here, "what follows `default` is never looked at", "write `default` last"
                    )
            else:
                hint = "write `{when: ..., step: ...}` or `{default: ...}`"
                self._report.add(here, "a branch has a guard and a step, or only a default", hint)

    def _target(self, path: Path, step: Step, target: str, words: AbstractSet[str]) -> None:
        if target in words or not self._exists(path, target, words):
            return
        needs = self._needs.get(target)
        if target == step.name:
            self._report.add(path, "a step cannot lead to itself", "name another step")
        elif needs is not None and step.name not in needs:
            hint = f'add "{step.name}" to its `needs`, or remove its `needs`'
            self._report.add(
                path, f'the step "{target}" lists its predecessors and "{step.name}" is none', hint
            )

    def _exists(self, path: Path, name: str, words: AbstractSet[str]) -> bool:
        if name in self._names:
            return True
        self.known = False
        self._report.add(
            path, f'there is no step "{name[:60]}"', self._report.nearest(name, self._names | words)
        )
        return False


def check_edges(
    steps: Sequence[Step], report: Report, names: AbstractSet[str], *, complete: bool
) -> Mapping[str, graph.Before] | None:
    """Report faults of the edges; returns what can be before each step, if that can be told.

    `names` are all names written, those of broken steps too; without `complete` edges are missing from the
    model and only targets are checked.
    """
    check = EdgeCheck(steps, report, names)
    for index, step in enumerate(steps):
        check.step(("steps", index), step)
    if not complete:
        return None
    outgoing = graph.edges(steps)
    sound = [_check_cycle(steps, report, outgoing, group) for group in graph.components(outgoing)]
    if not all(sound) or not check.known:
        return None
    _check_reach(steps, report, outgoing)
    return graph.before(outgoing)


def _check_cycle(
    steps: Sequence[Step], report: Report, outgoing: Mapping[str, graph.Edges], group: tuple[str, ...]
) -> bool:
    """Report a cycle that is none of `next` alone, is entered at several steps, or forks inside."""
    if len(group) == 1:
        return True
    index = {step.name: index for index, step in enumerate(steps)}
    shown = " -> ".join((*group, group[0])) if len(group) <= _SHOWN else f"{len(group)} steps long"
    for name in group:
        path: Path = ("steps", index[name])
        if set(steps[index[name]].needs or ()).intersection(group):
            report.add((*path, "needs"), f"the steps run in a circle: {shown}", "go back by `next` alone")
            return False
        if len([target for target in outgoing[name].flows if target in group]) > 1:
            report.add(path, f"{shown} is a cycle, and here it goes two ways at once", "choose one by `next`")
            return False
    ways = [target for name in group for target in _ways(steps[index[name]], outgoing[name], group)]
    if all(target in group for target in ways):
        hint = "add `{default: end}` or a way out to one `next`"
        report.add(("steps", index[group[0]]), f"the cycle {shown} never ends", hint)
        return False
    entries = [name for name, sources in graph.joined(outgoing).items() if name in group and sources]
    if len(entries) > 1:
        where = " and ".join(f'"{name}"' for name in entries[:_SHOWN])
        hint = "lead every way into a cycle to the same step"
        report.add(("steps", index[entries[1]]), f"the cycle {shown} is entered at {where}", hint)
    return len(entries) <= 1


def _ways(step: Step, edges: graph.Edges, group: tuple[str, ...]) -> Sequence[str]:
    """Where a step of a cycle can lead, `end` among them; one that can go on inside does."""
    if edges.routed is not None:
        return (*(graph.target(branch) for branch in graph.branches(step)), *edges.failed)
    inside = [target for target in edges.flows if target in group]
    return (*(inside or edges.flows or (graph.END,)), *edges.failed)


def _check_reach(steps: Sequence[Step], report: Report, outgoing: Mapping[str, graph.Edges]) -> None:
    sources = graph.incoming(outgoing)
    wanted = {step.name for index, step in enumerate(steps) if index == 0 or step.needs is not None}
    roots = [name for name in graph.roots(outgoing) if name in wanted]
    reached, cycles = graph.reachable(roots, outgoing), graph.cycles(outgoing)
    for index, step in enumerate(steps):
        lost, together = step.name not in reached, cycles.get(step.name, ())
        if step.name in together[1:]:
            continue
        if lost and all(source in reached or source in together for source in sources[step.name]):
            report.add(("steps", index), f'nothing leads to the step "{step.name}"', _way_in(sources, step))


def _way_in(sources: Mapping[str, Sequence[str]], step: Step) -> str:
    """How a step could be reached: most often a step that it needs leads elsewhere by its `next`."""
    past = [source for source in sources[step.name] if source in (step.needs or ())]
    if past:
        return f'"{past[0]}" leads elsewhere by its `next`; name "{step.name}" there'
    return "name it in a `next`, or write `needs: []` to start it at once"
