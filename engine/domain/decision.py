"""The shape of a decision and the few words that all deciders share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Self

from engine.domain.definition import Definition, Step
from engine.domain.effects import Effect, SetTimer
from engine.domain.events import NewEvent
from engine.domain.execution import Execution, Slot
from engine.domain.expression import ExpressionFailed
from engine.domain.scope import Supply
from engine.domain.vocabulary import EVENT_STATUS, EventType


@dataclass(frozen=True, slots=True)
class Turn:
    """What a decider looks at: the state, its definition, and time, values and ids from outside."""

    state: Execution
    definition: Definition
    supply: Supply

    def step(self, name: str) -> Step:
        """The definition of a step."""
        return self.definition.steps[name]

    def call(self, slot: Slot) -> Step:
        """What the attempts of a slot do: the step's own call, or the one that undoes it."""
        step = self.definition.steps[slot.step]
        if not slot.undoing:
            return step
        if step.compensate is None:
            raise LookupError(f"nothing undoes the step {slot.step}")
        return step.compensate

    def at(self, slot: Slot) -> Turn:
        """What expressions of a slot look at: those that undo a visit on a cycle, the steps of that time."""
        done = self.state.steps[slot.step].done if slot.undoing else []
        if not done:
            return self
        return replace(self, state=replace(self.state, steps={**self.state.steps, **done[-1].steps}))

    def timer(self, slot: Slot, what: str, seconds: float) -> SetTimer:
        """A timer of a slot, so many seconds from now."""
        due_at = self.supply.now + timedelta(seconds=seconds)
        return SetTimer(self.state.execution_id, f"{slot}:{what}", due_at)


@dataclass(slots=True)
class Decision:
    """Events to record, in order, and effects to carry out with them.

    `is_part` says that what was due remains so after them: the rest is decided next, before all else.
    """

    events: list[NewEvent] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    is_part: bool = False

    def __iadd__(self, other: Decision) -> Self:
        self.events += other.events
        self.effects += other.effects
        return self


def decided(
    kind: EventType,
    step: str | None = None,
    payload: object = None,
    *,
    attempt: int | None = None,
    item: int | None = None,
    command_id: int | None = None,
) -> NewEvent:
    """An event that deciding records: its id will derive from its version."""
    return NewEvent(
        event_type=kind.value,
        status=EVENT_STATUS[kind],
        step=step,
        payload=payload,
        attempt=attempt,
        item=item,
        command_id=command_id,
    )


def error(code: str, message: str, **more: object) -> dict[str, object]:
    """The one shape of an error: `code` for programs, `message` for people."""
    return {"code": code, "message": message, **more}


def expression_error(failed: ExpressionFailed, **more: object) -> dict[str, object]:
    """The error of a step whose expression failed; what is too large has its own code."""
    code = failed.code if failed.code == "value_too_large" else "expression_error"
    return error(code, str(failed), **more)
