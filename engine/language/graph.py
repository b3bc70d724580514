"""The edges between steps, implied or written, and what follows: order, reach, and who precedes whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.language.model import Branch, Step

END = "end"
SKIP = "skip"
FAIL = "fail"
CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges out of one step: `flows` go live by themselves, `routed` are chosen, `failed` by a failure.

    With `routed` set (even empty, by `next: end`) the step routes explicitly and what else leaves it
    goes dead.
    """

    flows: tuple[str, ...]
    routed: tuple[str, ...] | None
    failed: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Every target once, in the order of the source."""
        return tuple(dict.fromkeys((*self.flows, *(self.routed or ()), *self.failed)))

    @property
    def live(self) -> tuple[str, ...]:
        """The targets that some run of the step can lead to."""
        return (*(self.flows if self.routed is None else self.routed), *self.failed)


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
        found[step.name] = Edges(
            flows=tuple(flows),
            routed=None if step.next is None else tuple(t for t in targets(step) if t in names),
            failed=tuple(name for name in failure_targets(step) if name in names),
        )
    return found


def targets(step: Step) -> tuple[str, ...]:
    """The steps that `next` names, without `end`."""
    return tuple(dict.fromkeys(name for branch in branches(step) for name in [target(branch)] if name != END))


def failure_targets(step: Step) -> tuple[str, ...]:
    """What `on_timeout` and `on_error` name: steps, or words with a meaning of their own."""
    timed = [] if step.wait is None else [step.wait.on_timeout]
    return tuple(dict.fromkeys([*timed, *(answer.then for answer in step.on_error or ())]))


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


def components(outgoing: Mapping[str, Edges]) -> list[tuple[str, ...]]:
    """The steps in groups that can reach one another, in the order of the edges between groups.

    A step on no cycle is a group of its own; inside a group the order is that of the source.
    """
    place = {name: index for index, name in enumerate(outgoing)}
    found = _Components(outgoing)
    for name in outgoing:
        found.visit(name)
    return [tuple(sorted(group, key=place.__getitem__)) for group in reversed(found.groups)]


class _Components:
    """Tarjan's search with a stack of its own; `groups` come in reverse order."""

    def __init__(self, outgoing: Mapping[str, Edges]) -> None:
        self.groups: list[list[str]] = []
        self._outgoing = outgoing
        self._numbers: dict[str, int] = {}
        self._lowest: dict[str, int] = {}
        self._open: list[str] = []
        self._is_open: set[str] = set()

    def visit(self, first: str) -> None:
        if first in self._numbers:
            return
        path = [(first, iter(self._enter(first)))]
        while path:
            name, targets = path[-1]
            reached = next(targets, None)
            if reached is None:
                path.pop()
                self._leave(name, path[-1][0] if path else None)
            elif reached not in self._numbers:
                path.append((reached, iter(self._enter(reached))))
            elif reached in self._is_open:
                self._lowest[name] = min(self._lowest[name], self._numbers[reached])

    def _enter(self, name: str) -> tuple[str, ...]:
        self._numbers[name] = self._lowest[name] = len(self._numbers)
        self._open.append(name)
        self._is_open.add(name)
        return self._outgoing[name].all

    def _leave(self, name: str, before: str | None) -> None:
        if before is not None:
            self._lowest[before] = min(self._lowest[before], self._lowest[name])
        if self._lowest[name] == self._numbers[name]:
            group = self._open[self._open.index(name) :]
            del self._open[-len(group) :]
            self._is_open.difference_update(group)
            self.groups.append(group)


def cycles(outgoing: Mapping[str, Edges]) -> dict[str, tuple[str, ...]]:
    """The steps of the cycle that each step is on; steps on none are left out."""
    return {name: group for group in components(outgoing) if len(group) > 1 for name in group}


def joined(outgoing: Mapping[str, Edges]) -> dict[str, tuple[str, ...]]:
    """The sources whose edges a step waits for: all but those from its own cycle."""
    together = cycles(outgoing)
    return {
        name: tuple(source for source in sources if source not in together.get(name, ()))
        for name, sources in incoming(outgoing).items()
    }


def roots(outgoing: Mapping[str, Edges]) -> tuple[str, ...]:
    """The steps that begin with the execution: those without any edge into them, or into their cycle."""
    waits_for = joined(outgoing)
    groups = components(outgoing)
    first = [group[0] for group in groups if not any(waits_for[name] for name in group)]
    return tuple(name for name in outgoing if name in first)


@dataclass(frozen=True, slots=True)
class Before:
    """The steps that can have run before a step, and those that can have completed; sets of bits by place."""

    places: Mapping[str, int]
    ran: int = 0
    completed: int = 0

    def can_have_run(self, name: str) -> bool:
        """Whether some run leads here by way of that step."""
        return self._holds(self.ran, name)

    def can_have_completed(self, name: str) -> bool:
        """Whether some run leads here after that step has completed."""
        return self._holds(self.completed, name)

    def and_then(self, name: str) -> Before:
        """What is before the edges that a step chooses once it has completed."""
        bit = 1 << self.places[name]
        return Before(self.places, self.ran | bit, self.completed | bit)

    def without(self, name: str) -> Before:
        """What is before the edge that a step takes when it has failed."""
        bit = 1 << self.places[name]
        return Before(self.places, self.ran | bit, self.completed & ~bit)

    def also(self, other: Before) -> Before:
        """What can be before a step that either leads to."""
        return Before(self.places, self.ran | other.ran, self.completed | other.completed)

    def _holds(self, bits: int, name: str) -> bool:
        place = self.places.get(name)
        return place is not None and bool(bits >> place & 1)


def before(outgoing: Mapping[str, Edges]) -> dict[str, Before]:
    """What can be before each step; on a cycle that is every step of it."""
    sources = incoming(outgoing)
    places = {name: index for index, name in enumerate(outgoing)}
    known: dict[str, Before] = {}
    for group in components(outgoing):
        found = Before(places)
        for name in group if len(group) > 1 else ():
            found = found.and_then(name)
        for source, name in _into(group, sources):
            leaving = outgoing[source]
            succeeds = name in leaving.flows or name in (leaving.routed or ())
            found = found.also(known[source].and_then(source) if succeeds else known[source].without(source))
        known |= dict.fromkeys(group, found)
    return known


def _into(group: Sequence[str], sources: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """The edges into a group from outside, each with its source."""
    inside = frozenset(group)
    for name in group:
        yield from ((source, name) for source in sources[name] if source not in inside)
