"""Where a step leads once it has settled: guards and explicit routes."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.decision import Decision, Turn, decided, error, expression_error
from engine.domain.definition import Step
from engine.domain.expression import Expression, ExpressionFailed
from engine.domain.scope import Settling, scope_of
from engine.domain.vocabulary import EventType, StepStatus

_SETTLES_AS = {
    EventType.STEP_COMPLETED: StepStatus.COMPLETED,
    EventType.STEP_FAILED: StepStatus.FAILED,
    EventType.STEP_SKIPPED: StepStatus.SKIPPED,
}


class NoRoute(Exception):  # noqa: N818  # named as the fact it reports
    """No entry of `next` matched and there is no default."""


def pass_on(turn: Turn, step: Step, kind: EventType, payload: dict[str, object]) -> Decision:
    """Settle a step and choose where it leads; one that leads nowhere has failed, whatever it did."""
    try:
        targets = _route(turn, step, Settling(step.name, _SETTLES_AS[kind], payload.get("error")))
    except ExpressionFailed as failed:
        return fail_step(step.name, expression_error(failed))
    except NoRoute:
        detail = f"no entry of {step.name}.next matched, and it has no default: add one, or `end`"
        return fail_step(step.name, error("no_route", detail))
    if targets is not None:
        payload = {**payload, "next": targets}
    if kind is EventType.STEP_COMPLETED and step.cycle and step.compensate is not None:
        payload = {**payload, "kept_to_undo": _read_to_undo(step, step.compensate)}
    return Decision([decided(kind, step.name, payload or None)])


def _read_to_undo(step: Step, undoing: Step) -> list[str]:
    """The steps that undoing this visit reads and that a further one replaces: those of its cycle."""
    reading = (undoing.input, undoing.retry.on)
    read = {name for each in reading if each is not None for name in each.reads}
    return [name for name in step.cycle if name in read]


def fail_step(name: str, problem: dict[str, object]) -> Decision:
    """Record that a step has failed, and that nothing answers its failure."""
    return Decision([decided(EventType.STEP_FAILED, name, {"error": problem})])


def holds(
    turn: Turn, guard: Expression, names: Mapping[str, object] | None = None, settling: Settling | None = None
) -> bool:
    """Evaluate a guard; raises `ExpressionFailed`, also when it gives neither true nor false."""
    answer = guard.run(scope_of(turn.state, turn.supply, guard, names, settling))
    if not isinstance(answer, bool):
        raise ExpressionFailed("type_mismatch", f"{guard.source}: true or false is needed")
    return answer


def _route(turn: Turn, step: Step, settling: Settling) -> list[str] | None:
    if step.routes is None:
        return None
    for route in step.routes:
        if route.when is None or holds(turn, route.when, settling=settling):
            return [] if route.target is None else [route.target]
    raise NoRoute
