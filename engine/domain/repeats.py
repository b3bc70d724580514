"""Repeats: one step done round after round, until a guard holds or the rounds are over."""

from __future__ import annotations

from engine.domain.attempts import begin_attempt
from engine.domain.decision import Decision, Turn, error, expression_error
from engine.domain.definition import Repeat, Step
from engine.domain.execution import Slot
from engine.domain.expression import ExpressionFailed
from engine.domain.failing import give_up
from engine.domain.routing import holds, pass_on
from engine.domain.vocabulary import EventType


def after_round(turn: Turn, step: Step, repeat: Repeat) -> Decision:
    """Complete the step, begin its next round, or fail it as `repeat_exhausted`."""
    slot = Slot(step.name)
    done = turn.state.step(step.name).iteration
    try:
        enough = _is_enough(turn, step, repeat, done)
    except ExpressionFailed as failed:
        return give_up(turn, slot, expression_error(failed))
    if enough:
        return pass_on(turn, step, EventType.STEP_COMPLETED, {})
    if done >= repeat.max:
        detail = f"{done} rounds of {step.name} have not brought about `until`: raise `max`"
        return give_up(turn, slot, error("repeat_exhausted", detail))
    return begin_attempt(turn, slot, repeat.delay, iteration=done + 1)


def _is_enough(turn: Turn, step: Step, repeat: Repeat, done: int) -> bool:
    if repeat.until is None:
        return done >= repeat.max
    output = turn.supply.value(turn.state.step(step.name).output, "output")
    return holds(turn, repeat.until, {"output": output, "iteration": done})
