"""Edges between steps: when a join is satisfied, which step begins or is skipped, how a cycle goes on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from engine.domain.attempts import begin_attempt
from engine.domain.decision import Decision, Turn, decided, error, expression_error
from engine.domain.definition import Step
from engine.domain.effects import EXECUTION_TIMER, Effect, SetTimer
from engine.domain.events import NewEvent
from engine.domain.execution import Slot, StepState
from engine.domain.expression import ExpressionFailed
from engine.domain.failing import give_up
from engine.domain.maps import open_map
from engine.domain.repeats import after_round
from engine.domain.routing import fail_step, holds, pass_on
from engine.domain.vocabulary import SETTLED_STEPS, EventType, StepStatus
from engine.domain.waits import open_wait

MOST_VISITS = 1_000

TIMED_DEADLINE = timedelta(days=1)
"""An execution's deadline within this time is a timer; the sweep over live heads watches later ones."""


def on_started(turn: Turn, _: str) -> Decision:
    """Begin every root, and set a timer for a deadline that comes before the next few sweeps."""
    decision = Decision(effects=watch_deadline(turn))
    for name in turn.definition.roots:
        decision += begin(turn, name)
    return decision


def watch_deadline(turn: Turn) -> list[Effect]:
    """The timer at the execution's deadline, unless the sweep is in time for it."""
    deadline = turn.state.deadline
    if deadline is None or deadline - turn.supply.now > TIMED_DEADLINE:
        return []
    return [SetTimer(turn.state.execution_id, EXECUTION_TIMER, deadline)]


def on_settled(turn: Turn, name: str) -> Decision:
    """Look at every step that an edge leads to from the one which has just settled.

    A cycle goes on at one step, or is left: only then do the edges out of it count.
    """
    step = turn.step(name)
    return go_round(turn, step) or consider_all(turn, targets_beyond(turn, step))


def go_round(turn: Turn, step: Step) -> Decision | None:
    """How the cycle of a settled step goes on, or is closed; None when it is left, and without a cycle."""
    if not step.cycle:
        return None
    again = _leads_on(turn, step)
    if again:
        return begin(turn, again[0])
    unvisited = [each for each in step.cycle if turn.state.status_of(each) is StepStatus.PENDING]
    return Decision([_not_taken(each) for each in unvisited]) if unvisited else None


def targets_beyond(turn: Turn, step: Step) -> Iterable[str]:
    """Where the edges out of a settled step lead; for one on a cycle, those out of the cycle."""
    if not step.cycle:
        return step.outgoing
    leaving = dict.fromkeys(target for each in step.cycle for target in turn.step(each).outgoing)
    return [target for target in leaving if target not in step.cycle]


def on_succeeded(turn: Turn, name: str) -> Decision:
    """Complete a step whose attempt, map, wait or child succeeded, or begin its next round."""
    step = turn.step(name)
    if step.repeat is not None:
        return after_round(turn, step, step.repeat)
    return pass_on(turn, step, EventType.STEP_COMPLETED, {})


def begin(turn: Turn, name: str) -> Decision:
    """Start a step whose join is satisfied, or skip it when its guard says so."""
    step = turn.step(name)
    if _visits(turn, name) >= MOST_VISITS:
        return fail_step(
            name, error("loop_limit", f"{name} has begun {MOST_VISITS} times: let its cycle end sooner")
        )
    if step.when is not None:
        try:
            wanted = holds(turn, step.when)
        except ExpressionFailed as failed:
            return give_up(turn, Slot(name), expression_error(failed))
        if not wanted:
            return pass_on(turn, step, EventType.STEP_SKIPPED, {"reason": "guard"})
    if step.wait is not None:
        return open_wait(turn, step, step.wait)
    if step.map is not None:
        return open_map(turn, step, step.map)
    return begin_attempt(turn, Slot(name), iteration=1)


def _visits(turn: Turn, name: str) -> int:
    found = turn.state.steps.get(name)
    return 0 if found is None else found.visits + (found.status in SETTLED_STEPS)


def consider_all(turn: Turn, targets: Iterable[str]) -> Decision:
    """Begin, or skip as not taken, each of these steps whose join is satisfied and that has not begun."""
    decision = Decision()
    for target in targets:
        decision += _consider(turn, turn.step(target))
    return decision


def _consider(turn: Turn, step: Step) -> Decision:
    if turn.state.status_of(step.name) is not StepStatus.PENDING:
        return Decision()
    settled = [source for source in step.incoming if _is_settled(turn, source)]
    live = any(step.name in _live_targets(turn, turn.step(source)) for source in settled)
    complete = len(settled) == len(step.incoming)
    if live and (complete or step.join == "any"):
        return begin(turn, step.name)
    return Decision([_not_taken(step.name)]) if complete else Decision()


def _is_settled(turn: Turn, source: str) -> bool:
    """Whether the edges out of a step are live or dead by now; those out of a cycle once it is left.

    They are neither after a failure that nothing answers: a retry of the execution may still decide it.
    """
    steps = turn.state.steps
    cycle = turn.step(source).cycle
    if not all(is_settled(steps.get(each)) for each in cycle or (source,)):
        return False
    # Between two visits all members are settled, too: it goes on where the last one leads into it.
    return not cycle or not _leads_on(turn, turn.step(max(cycle, key=lambda each: steps[each].settled)))


def is_settled(step: StepState | None) -> bool:
    """Whether it is decided for good what became of a step."""
    return step is not None and step.status in SETTLED_STEPS and not step.begins_again


def _leads_on(turn: Turn, step: Step) -> list[str]:
    """The steps of its own cycle that a settled step leads to."""
    return [target for target in _live_targets(turn, step) if target in step.cycle]


def _live_targets(turn: Turn, source: Step) -> tuple[str, ...]:
    chosen = turn.state.steps[source.name].next
    return source.flows if chosen is None else chosen


def _not_taken(name: str) -> NewEvent:
    return decided(EventType.STEP_SKIPPED, name, {"reason": "not_taken", "next": []})
