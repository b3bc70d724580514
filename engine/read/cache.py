"""States that a projector remembers between batches, the least recently used going first."""

from __future__ import annotations

from collections import OrderedDict

from engine.domain.execution import Execution

BYTES_KEPT = 128 * 2**20
BYTES_A_STATE = 2048
BYTES_A_STEP = 512


class StateCache:
    """States as of their last committed projection, within a number of bytes.

    A state is taken out while it is being changed, so that an error on the way forgets it.
    """

    def __init__(self, byte_limit: int = BYTES_KEPT) -> None:
        self._states: OrderedDict[int, tuple[Execution, int]] = OrderedDict()
        self._limit = byte_limit
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def version(self, execution_id: int) -> int:
        """The version of a remembered state, 0 without one."""
        entry = self._states.get(execution_id)
        return 0 if entry is None else entry[0].version

    def take(self, execution_id: int) -> Execution | None:
        """Hand over a state; the cache no longer has it."""
        entry = self._states.pop(execution_id, None)
        if entry is None:
            return None
        self._bytes -= entry[1]
        return entry[0]

    def keep(self, state: Execution) -> None:
        """Remember a state; ended executions are forgotten."""
        self.take(state.execution_id)
        if state.is_ended:
            return
        weight = BYTES_A_STATE + BYTES_A_STEP * len(state.steps)
        self._states[state.execution_id] = (state, weight)
        self._bytes += weight
        while self._bytes > self._limit:
            self._bytes -= self._states.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
        self._bytes = 0
