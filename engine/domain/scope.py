"""What deciding needs from outside, and the names that expressions see."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from engine.domain.budget import Budget, Names
from engine.domain.deferred import no_output
from engine.domain.definition import Template
from engine.domain.events import iso
from engine.domain.execution import Execution, Pointer
from engine.domain.expression import Expression, ExpressionFailed
from engine.domain.handles import Handle, MapKey, Referring
from engine.domain.vocabulary import StepStatus

NULL_BYTES = len("null,")
ITEM_BYTES = len('"item":10000,')
MOST_OPENED = 32
"""So many values that are kept apart, or single elements of large lists, one evaluation may load."""


class Lacking(Exception):  # noqa: N818  # named as the fact it reports
    """Deciding needs values of the log, payloads, or ids, that it was not given; nothing has been changed.

    One that names nothing is a pause, for others to have their turn.
    `ids` is how many it has to find, those among them that it was given already.
    """

    def __init__(self, versions: Iterable[int] = (), ids: int = 0, payloads: Iterable[str] = ()) -> None:
        super().__init__("values, payloads or ids are lacking")
        self.versions = frozenset(versions)
        self.ids = ids
        self.payloads = frozenset(payloads)


@dataclass(slots=True, kw_only=True)
class Supply:
    """Time, values and ids for deciding.

    `values` are by the version of the event that carries them, `payloads` by address; one that cannot be
    read is the failure of whoever reads it. `opened` are the addresses that the present evaluation has read.
    """

    now: datetime
    values: dict[int, object] = field(default_factory=dict)
    payloads: dict[str, object] = field(default_factory=dict)
    ids: deque[int] = field(default_factory=deque)
    taken: int = 0
    opened: set[str] = field(default_factory=set)
    budget: Budget = field(default_factory=Budget)

    def take_id(self) -> int:
        """The next fresh id; raises `Lacking` for at least twice as many when none is left."""
        if self.taken >= len(self.ids):
            self.taken = 0
            raise Lacking(ids=2 * len(self.ids) + 1)
        self.taken += 1
        return self.ids[self.taken - 1]

    def reserve(self, count: int) -> None:
        """Make sure of so many ids before a long decision; raises `Lacking` when some are missing."""
        if count > len(self.ids):
            raise Lacking(ids=count)

    def use_up(self) -> None:
        """Forget the ids that a finished decision has taken; an unfinished one takes them again."""
        while self.taken:
            self.ids.popleft()
            self.taken -= 1

    def value(self, pointer: Pointer | None, named: str = "the value") -> object:
        """The value at a pointer, with handles for what is kept as payloads; `named` is for their errors.

        Raises `Lacking` when it is not loaded.
        """
        if pointer is None:
            return None
        try:
            value = self.values[pointer.version]
        except KeyError:
            self.taken = 0
            raise Lacking([pointer.version]) from None
        return value.bound(named, self.payload) if isinstance(value, Referring) else value

    def payload(self, uri: str, named: str = "the value") -> object:
        """What lies at an address; raises `Lacking` when it is not loaded, and fails after too many."""
        self.opened.add(uri)
        if len(self.opened) > MOST_OPENED:
            raise ExpressionFailed(
                "value_too_large",
                f"more than {MOST_OPENED} values that are kept apart, or elements of large lists, are read "
                "here; pass them on whole",
            )
        if uri not in self.payloads:
            self.taken = 0
            raise Lacking(payloads=[uri])
        content = self.payloads[uri]
        if isinstance(content, ExpressionFailed):
            raise content
        if isinstance(content, Referring):
            content = self.payloads[uri] = content.bound(named, self.payload)
        return content


class Settling(NamedTuple):
    """What a step is about to be: its own routing sees it so; `error` is that of one that has failed."""

    name: str
    status: StepStatus
    error: object = None


def scope_of(
    state: Execution,
    supply: Supply,
    what: Expression | Template,
    names: Mapping[str, object] | None = None,
    settling: Settling | None = None,
) -> Names:
    """The names `what` may use, `names` among them, for one evaluation.

    Raises `Lacking` with all that it can read and that is not loaded.

    The step that is `settling` has the status, output and error that it is about to have.
    """
    supply.opened.clear()
    read = [state.steps[name] for name in what.reads if name in state.steps]
    pointers = [step.output for step in read if step.map is None]
    if what.inputs:
        pointers.append(state.inputs)
    missing = [p.version for p in pointers if p is not None and p.version not in supply.values]
    if missing:
        supply.taken = 0
        raise Lacking(missing)
    known = {"steps": _Steps(state, supply, settling), "execution": _about(state), **(names or {})}
    scope = Names(known, supply.budget)
    if what.inputs:
        scope["inputs"] = supply.value(state.inputs, "inputs")
    return scope


def _about(state: Execution) -> dict[str, object]:
    started_at = None if state.started_at is None else iso(state.started_at)
    return {"id": str(state.execution_id), "started_at": started_at}


class _Steps(Mapping[str, object]):
    def __init__(self, state: Execution, supply: Supply, settling: Settling | None) -> None:
        self._state = state
        self._supply = supply
        self._settling = settling

    def __getitem__(self, name: str) -> object:
        if self._settling is not None and self._settling.name == name:
            return _SettlingView(self._settling, self._state, self._supply)
        return _StepView(name, self._state.status_of(name), self._state, self._supply)

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.steps)

    def __len__(self) -> int:
        return len(self._state.steps)


class _StepView(Mapping[str, object]):
    """`status` always exists; `output` only of a completed step."""

    KEYS = ("status", "output", "error", "errors")

    def __init__(self, name: str, status: StepStatus, state: Execution, supply: Supply) -> None:
        self._name = name
        self._status = status
        self._state = state
        self._supply = supply

    def __getitem__(self, key: str) -> object:
        status = self._status
        if key == "status":
            return status.value
        if key == "output":
            if status is not StepStatus.COMPLETED:
                raise no_output(self._name, status)
            return _output(self._name, self._state, self._supply)
        if key == "errors":
            return _of_items(self._name, self._state, self._supply, "errors")
        if key == "error":
            failed = status is StepStatus.FAILED
            return self._supply.value(self._state.steps[self._name].error) if failed else None
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.KEYS)

    def __len__(self) -> int:
        return len(self.KEYS)


class _SettlingView(_StepView):
    """Of a step that does not complete, the state still has what its last visit gave: none of it counts."""

    def __init__(self, settling: Settling, state: Execution, supply: Supply) -> None:
        super().__init__(settling.name, settling.status, state, supply)
        self._error = settling.error

    def __getitem__(self, key: str) -> object:
        if key == "error":
            return self._error if self._status is StepStatus.FAILED else None
        if key == "errors" and self._status is not StepStatus.COMPLETED:
            return []
        return super().__getitem__(key)


def _output(name: str, state: Execution, supply: Supply) -> object:
    step = state.steps[name]
    if step.map is not None:
        return _of_items(name, state, supply, "outputs")
    return supply.value(step.output, f"steps.{name}.output")


def _of_items(name: str, state: Execution, supply: Supply, what: str) -> object:
    """What the items of a map gave, or their errors; a step without a map has none."""
    step = state.steps.get(name)
    if step is None or step.map is None or step.output is None:
        return []
    found, version = step.map, step.output.version
    key = MapKey(state.execution_id, name, found.items.version, version, what)
    if what == "outputs":
        count, size, apart, named = found.total, found.bytes + found.total * NULL_BYTES, found.apart, "output"
    else:
        count, size, apart, named = found.failures, found.error_bytes + found.failures * ITEM_BYTES, 0, what
    reference = {"kind": "map", "uri": key.uri, "bytes": size, "count": count}
    if apart:
        reference["apart"] = apart
    return Handle(reference, f"steps.{name}.{named}", supply.payload)
