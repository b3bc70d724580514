"""Edges between steps: which go live, when a join is satisfied, which step begins or is skipped."""

from __future__ import annotations

from datetime import timedelta

from engine.domain.attempts import begin_attempt
from engine.domain.decision import Decision, Turn, decided, error, expression_error, fail_step
from engine.domain.definition import Step
from engine.domain.effects import EXECUTION_TIMER, SetTimer
from engine.domain.expression import Expression, ExpressionFailed
from engine.domain.scope import scope_of
from engine.domain.vocabulary import SETTLED_STEPS, EventType, StepStatus
from engine.domain.waits import open_wait

TIMED_DEADLINE = timedelta(days=1)
"""An execution's deadline within this time is a timer; the sweep over live heads watches later ones."""


class NoRoute(Exception):  # noqa: N818  # named as the fact it reports
    """No entry of `next` matched and there is no default."""


def on_started(turn: Turn, _: str) -> Decision:
    """Begin every root, and set a timer for a deadline that comes before the next few sweeps."""
    decision = Decision()
    deadline = turn.state.deadline
    if deadline is not None and deadline - turn.supply.now <= TIMED_DEADLINE:
        decision.effects.append(SetTimer(turn.state.execution_id, EXECUTION_TIMER, deadline))
    for name in turn.definition.roots:
        decision += begin(turn, name)
    return decision


def on_settled(turn: Turn, name: str) -> Decision:
    """Look at every step that an edge leads to from the one which has just settled."""
    decision = Decision()
    for target in turn.step(name).outgoing:
        decision += _consider(turn, turn.step(target))
    return decision


def on_succeeded(turn: Turn, name: str) -> Decision:
    """Complete a step whose attempt, wait or child succeeded, and choose where it leads."""
    return _pass_on(turn, turn.step(name), EventType.STEP_COMPLETED, {})


def begin(turn: Turn, name: str) -> Decision:
    """Start a step whose join is satisfied, or skip it when its guard says so."""
    step = turn.step(name)
    if step.when is not None:
        try:
            wanted = _holds(turn, step.when)
        except ExpressionFailed as failed:
            return fail_step(name, expression_error(failed))
        if not wanted:
            return _pass_on(turn, step, EventType.STEP_SKIPPED, {"reason": "guard"})
    if step.wait is not None:
        return open_wait(turn, step, step.wait)
    return begin_attempt(turn, step)


def _consider(turn: Turn, step: Step) -> Decision:
    if turn.state.status_of(step.name) is not StepStatus.PENDING:
        return Decision()
    settled = [source for source in step.incoming if turn.state.status_of(source) in SETTLED_STEPS]
    live = any(_is_live(turn, source, step.name) for source in settled)
    complete = len(settled) == len(step.incoming)
    if live and (complete or step.join == "any"):
        return begin(turn, step.name)
    if complete:
        return Decision([decided(EventType.STEP_SKIPPED, step.name, {"reason": "not_taken", "next": []})])
    return Decision()


def _is_live(turn: Turn, source: str, target: str) -> bool:
    chosen = turn.state.steps[source].next
    return target in (turn.step(source).flows if chosen is None else chosen)


def _pass_on(turn: Turn, step: Step, kind: EventType, payload: dict[str, object]) -> Decision:
    try:
        targets = _route(turn, step, completing=kind is EventType.STEP_COMPLETED)
    except ExpressionFailed as failed:
        return fail_step(step.name, expression_error(failed))
    except NoRoute:
        detail = f"no entry of {step.name}.next matched and it has no default"
        return fail_step(step.name, error("no_route", detail))
    if targets is not None:
        payload = {**payload, "next": targets}
    return Decision([decided(kind, step.name, payload or None)])


def _route(turn: Turn, step: Step, *, completing: bool) -> list[str] | None:
    if step.routes is None:
        return None
    for route in step.routes:
        if route.when is None or _holds(turn, route.when, step.name if completing else None):
            return [] if route.target is None else [route.target]
    raise NoRoute


def _holds(turn: Turn, guard: Expression, completing: str | None = None) -> bool:
    answer = guard.run(scope_of(turn.state, turn.supply, guard, completing=completing))
    if not isinstance(answer, bool):
        raise ExpressionFailed("type_mismatch", f"{guard.source}: true or false is needed")
    return answer
