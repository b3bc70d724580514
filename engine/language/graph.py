"""The edges between steps, implied or written, and what follows: order, reach, and who precedes whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.language.model import Branch, Step

END = "end"
SKIP = "skip"
FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges out of one step: `flows` go live by themselves, `routed` are chosen, `timed` by a time-out.

    With `routed` set (even empty, by `next: end`) the step routes explicitly and what else leaves it
    goes dead.
    """

    flows: tuple[str, ...]
    routed: tuple[str, ...] | None
    timed: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Every target once, in the order of the source."""
        return tuple(dict.fromkeys((*self.flows, *(self.routed or ()), *self.timed)))

    @property
    def live(self) -> tuple[str, ...]:
        """The targets that some run of the step can lead to."""
        return (*(self.flows if self.routed is None else self.routed), *self.timed)


def edges(steps: Sequence[Step]) -> dict[str, Edges]:
    """Resolve the edges of every step; targets that do not exist are left out."""
    names = {step.name for step in steps}
    needed_by: dict[str, list[str]] = {name: [] for name in names}
    for step in steps:
        for source in dict.fromkeys(step.needs or ()):
            if source in names:
                needed_by[source].append(step.name)
    found: dict[str, Edges] = {}
    for index, step in enumerate(steps):
        following = steps[index + 1] if index + 1 < len(steps) else None
        implied = step.next is None and following is not None and following.needs is None
        flows = ([following.name] if implied and following is not None else []) + needed_by[step.name]
        timed = step.wait.on_timeout if step.wait is not None else FAIL
        found[step.name] = Edges(
            flows=tuple(flows),
            routed=None if step.next is None else tuple(t for t in targets(step) if t in names),
            timed=(timed,) if timed in names else (),
        )
    return found


def targets(step: Step) -> tuple[str, ...]:
    """The steps that `next` names, without `end`."""
    return tuple(dict.fromkeys(name for branch in branches(step) for name in [target(branch)] if name != END))


def branches(step: Step) -> Sequence[Branch]:
    """Write `next` as a list of branches, whichever way it was written."""
    if isinstance(step.next, str):
        return (Branch(default=step.next),)
    return step.next or ()


def target(branch: Branch) -> str:
    """The step that a branch leads to, or `end`."""
    return branch.step or branch.default or END


def incoming(outgoing: Mapping[str, Edges]) -> dict[str, tuple[str, ...]]:
    """The sources of the edges into every step, in the order of the source."""
    sources: dict[str, list[str]] = {name: [] for name in outgoing}
    for name, leaving in outgoing.items():
        for reached in leaving.all:
            sources[reached].append(name)
    return {name: tuple(found) for name, found in sources.items()}


def reachable(roots: Sequence[str], outgoing: Mapping[str, Edges]) -> set[str]:
    """The steps that some run can reach from the roots."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += outgoing[name].live
    return found


def find_cycle(outgoing: Mapping[str, Edges]) -> tuple[str, ...] | None:
    """Return the steps of one cycle from the uppermost on, or None when there is none."""
    sources = incoming(outgoing)
    knotted = set(outgoing).difference(_in_order(outgoing, sources))
    if not knotted:
        return None
    walk = [next(name for name in outgoing if name in knotted)]
    while True:
        before = next(name for name in sources[walk[-1]] if name in knotted)
        if before in walk:
            break
        walk.append(before)
    circle = walk[walk.index(before) :][::-1]
    place = list(outgoing)
    first = circle.index(min(circle, key=place.index))
    return (*circle[first:], *circle[:first])


def ancestors(outgoing: Mapping[str, Edges]) -> dict[str, frozenset[str]]:
    """The steps that can have run before each step; the graph must have no cycle."""
    sources = incoming(outgoing)
    names = list(outgoing)
    bits = {name: 1 << index for index, name in enumerate(names)}
    before: dict[str, int] = {}
    for name in _in_order(outgoing, sources):
        before[name] = 0
        for source in sources[name]:
            before[name] |= before[source] | bits[source]
    return {name: frozenset(other for other in names if before[name] & bits[other]) for name in names}


def _in_order(outgoing: Mapping[str, Edges], sources: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Order the steps so that each follows its sources; steps on or behind a cycle are left out."""
    open_edges = {name: len(found) for name, found in sources.items()}
    ordered = [name for name, count in open_edges.items() if count == 0]
    for name in ordered:
        for reached in outgoing[name].all:
            open_edges[reached] -= 1
            if open_edges[reached] == 0:
                ordered.append(reached)
    return ordered
