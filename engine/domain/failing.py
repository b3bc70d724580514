"""What a failure leads to when there is no further try: an answer by `on_error`, or the step's failure."""

from __future__ import annotations

from engine.domain.decision import Decision, Turn, decided, expression_error
from engine.domain.definition import ErrorRoute, Step
from engine.domain.effects import OpenIncident
from engine.domain.execution import Slot
from engine.domain.expression import ExpressionFailed
from engine.domain.routing import fail_step, holds, pass_on
from engine.domain.vocabulary import EventType

Problem = dict[str, object]


def give_up(turn: Turn, slot: Slot, problem: Problem) -> Decision:
    """Record that a slot has failed for good; for a step the first matching entry of `on_error` answers."""
    step = turn.step(slot.step)
    if slot.undoing:
        return _give_up_undoing(turn, step, problem)
    if slot.item is not None:
        if step.map is not None and step.map.on_item_error == "continue":
            return Decision([decided(EventType.STEP_FAILED, step.name, {"error": problem}, item=slot.item)])
        problem = {**problem, "item": slot.item}
    try:
        answer = _answer(turn, step, problem)
    except ExpressionFailed as failed:
        return fail_step(step.name, expression_error(failed, cause=problem))
    return _answered(turn, step, answer, problem)


def seen(problem: Problem) -> Problem:
    """An error as guards see it: with every name, so that a missing one is no fault."""
    return {"status": None, "details": None, "attempt": None, "item": None, "cause": None, **problem}


def _answer(turn: Turn, step: Step, problem: Problem) -> str:
    routes: tuple[ErrorRoute, ...] = step.on_error
    for route in routes:
        if route.when is None or holds(turn, route.when, {"error": seen(problem)}):
            return route.then
    return "fail"


def _answered(turn: Turn, step: Step, answer: str, problem: Problem) -> Decision:
    match answer:
        case "fail":
            return fail_step(step.name, problem)
        case "skip":
            return pass_on(turn, step, EventType.STEP_SKIPPED, {"reason": "error", "error": problem})
        case "continue":
            return pass_on(turn, step, EventType.STEP_FAILED, {"error": problem, "handled": "continue"})
        case target:
            payload = {"error": problem, "handled": "step", "next": [target]}
            return Decision([decided(EventType.STEP_FAILED, step.name, payload)])


def _give_up_undoing(turn: Turn, step: Step, problem: Problem) -> Decision:
    incident = OpenIncident(
        kind="compensation_failed",
        execution_id=turn.state.execution_id,
        subject=f"{turn.state.execution_id}/{step.name}",
        detail=f"what undoes the step {step.name} has failed: {problem.get('code')}",
    )
    return Decision([decided(EventType.COMPENSATION_FAILED, step.name, {"error": problem})], [incident])
