"""What came of a run: status, output, events, calls; each step; each child."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from engine.domain.effects import OpenIncident
from engine.domain.events import RecordedEvent
from engine.domain.execution import StepState
from engine.domain.handles import held_value
from engine.domain.vocabulary import TERMINAL_EVENTS, EventType, ExecutionStatus, StepStatus
from playlog.testing import missing
from playlog.testing.results import Call
from playlog.testing.story import told
from playlog.testing.stream import MemoryStream
from playlog.testing.world import ROOT, World


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step as it stands in the end; of one on a cycle, its last visit.

    `error` is that of the last attempt that failed, `skip_reason` why it was skipped: `guard`, `not_taken`,
    `error` or `timed_out`.
    """

    status: StepStatus
    attempts: int
    visits: int
    skip_reason: str | None
    output: Any
    error: dict[str, Any] | None


class Run:
    """One execution as it stands after the run; `str()` tells its events, a line each."""

    def __init__(self, world: World, execution_id: int = ROOT) -> None:
        self._world = world
        self._stream: MemoryStream = world.streams[execution_id]

    def __str__(self) -> str:
        return told(self._stream, self._world.began)

    def __repr__(self) -> str:
        return f"<run of {self._stream.definition.path}: {self.status}>"

    @property
    def status(self) -> ExecutionStatus:
        """Equals the text users see, such as `completed`, `failed`, `waiting`."""
        return self._stream.state.status

    @property
    def output(self) -> Any:  # noqa: ANN401  # any JSON
        """The evaluated `output` of a completed execution, else None."""
        last = self._last()
        if last is None or last.event_type != EventType.EXECUTION_COMPLETED:
            return None
        return self._stream.carried(last)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error `{code, message, ...}` of an execution that failed or timed out, else None."""
        last = self._last()
        payload = None if last is None else last.payload
        found = payload.get("error") if isinstance(payload, dict) else None
        return found if isinstance(found, dict) else None

    @property
    def compensation(self) -> str | None:
        """`complete` or `incomplete` when steps were undone, else None."""
        return self._stream.state.compensation

    @property
    def events(self) -> tuple[RecordedEvent, ...]:
        """Every recorded event, in version order."""
        return tuple(self._stream.log)

    @property
    def elapsed(self) -> timedelta:
        """The virtual time from the start to the end, or to where the run was stopped."""
        last = self._last()
        return (self._world.now if last is None else last.recorded_at) - self._stream.log[0].recorded_at

    @property
    def incidents(self) -> tuple[OpenIncident, ...]:
        """What an operator would be told of, such as a compensation that failed."""
        ours = self._stream.execution_id
        return tuple(each for each in self._world.rows.incidents if each.execution_id == ours)

    @property
    def children(self) -> tuple[Run, ...]:
        """The runs of the children that were not scripted, in the order of their start."""
        ours = self._stream.execution_id
        return tuple(
            Run(self._world, child_id)
            for child_id, stream in self._world.streams.items()
            if stream.state.parent is not None and stream.state.parent.execution_id == ours
        )

    def calls(self, step: str | None = None) -> tuple[Call, ...]:
        """Every attempt that began, of one step or of all, in the order in which they began."""
        made = self._world.calls[self._stream.execution_id]
        if step is None:
            return tuple(made)
        missing.check_steps(self._stream.definition, [step])
        return tuple(call for call in made if call.step == step)

    def step(self, name: str) -> StepRun:
        """How a step stands; `pending` when it has not begun. Raises `Unknown`."""
        missing.check_steps(self._stream.definition, [name])
        state = self._stream.state.steps.get(name, StepState())
        return StepRun(
            status=state.status,
            attempts=len([call for call in self.calls(name) if not call.undoing]),
            visits=state.visits + (state.status is not StepStatus.PENDING),
            skip_reason=state.skip_reason,
            output=self._stream.output(name) if state.status is StepStatus.COMPLETED else None,
            error=self._error(state),
        )

    def _error(self, state: StepState) -> dict[str, Any] | None:
        found = None if state.error is None else self._stream.log[state.error.version - 1]
        value = None if found is None else held_value(found.event_type, found.payload)
        return value if isinstance(value, dict) else None

    def _last(self) -> RecordedEvent | None:
        ends: Iterator[RecordedEvent] = (e for e in self._stream.log if e.event_type in TERMINAL_EVENTS)
        return next(ends, None)
