"""What a writer remembers between transactions: states, the values they point at, definitions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from engine.domain.definition import Definition
from engine.domain.execution import Execution, Pointer

BYTES_KEPT = 64 * 1024 * 1024
DEFINITIONS_KEPT = 500
VALUES_KEPT = 64
VALUE_BYTES_KEPT = 8 * 1024
BYTES_A_STATE = 2 * 1024
BYTES_A_STEP = 512
BYTES_A_COMMAND = 512
BYTES_A_SIGNAL = 128


@dataclass(slots=True)
class Remembered:
    """A state as of its last commit, with the newest small values that its events carried."""

    state: Execution
    values: dict[int, object] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def trim(self, sizes: Mapping[int, int]) -> None:
        """Keep the newest values of known, small size; `sizes` are bytes by version, of new events.

        What attempt after attempt reads is kept whatever its age: small inputs, and the items of open maps,
        which may be large.
        """
        self.sizes.update((version, size) for version, size in sizes.items() if version in self.values)
        often = {at.version: at.bytes for at in self._read_often() if at.version in self.values}
        self.sizes |= often
        small = [
            version for version in self.values if self.sizes.get(version, BYTES_KEPT) <= VALUE_BYTES_KEPT
        ]
        kept = {*sorted(small)[-VALUES_KEPT:], *often}
        self.values = {version: self.values[version] for version in kept}
        self.sizes = {version: self.sizes[version] for version in kept}

    def _read_often(self) -> Iterator[Pointer]:
        inputs = self.state.inputs
        if inputs is not None and inputs.bytes <= VALUE_BYTES_KEPT:
            yield inputs
        for name in {slot.step for slot in (*self.state.commands.values(), *self.state.children.values())}:
            found = self.state.steps[name].map
            if found is not None:
                yield found.items

    @property
    def weight(self) -> int:
        """Roughly how many bytes remembering this takes."""
        attempts = len(self.state.commands) + len(self.state.children)
        state = BYTES_A_STATE + BYTES_A_STEP * len(self.state.steps) + BYTES_A_COMMAND * attempts
        return state + BYTES_A_SIGNAL * self.state.signals_kept + sum(self.sizes.values())


class Cache:
    """Least recently used states and definitions. An entry counts only if the head agrees with it."""

    def __init__(self, byte_limit: int = BYTES_KEPT, definitions: int = DEFINITIONS_KEPT) -> None:
        self._states: OrderedDict[int, tuple[Remembered, int]] = OrderedDict()
        self._definitions: OrderedDict[bytes, Definition] = OrderedDict()
        self._byte_limit = byte_limit
        self._bytes = 0
        self._definition_limit = definitions

    def take(self, execution_id: int) -> Remembered | None:
        """Hand over an entry: it is out of the cache until a commit keeps it again."""
        entry = self._states.pop(execution_id, None)
        if entry is None:
            return None
        self._bytes -= entry[1]
        return entry[0]

    def keep(self, remembered: Remembered, sizes: Mapping[int, int]) -> None:
        """Remember a state whose transaction has committed; ended executions are forgotten."""
        if remembered.state.is_ended:
            return
        remembered.trim(sizes)
        weight = remembered.weight
        self._states[remembered.state.execution_id] = (remembered, weight)
        self._bytes += weight
        while self._bytes > self._byte_limit:
            self._bytes -= self._states.popitem(last=False)[1][1]

    def definition(self, definition_hash: bytes) -> Definition | None:
        """A compiled definition, if it is remembered."""
        found = self._definitions.get(definition_hash)
        if found is not None:
            self._definitions.move_to_end(definition_hash)
        return found

    def keep_definitions(self, definitions: Iterable[Definition]) -> None:
        """Remember compiled definitions; they never change."""
        for definition in definitions:
            self._definitions[definition.hash] = definition
            if len(self._definitions) > self._definition_limit:
                self._definitions.popitem(last=False)
