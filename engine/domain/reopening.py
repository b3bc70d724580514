"""A retry of an ended execution: what failed or was cancelled begins again, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from engine.domain.decision import Decision, Turn
from engine.domain.definition import Step
from engine.domain.effects import MoveDeadline
from engine.domain.execution import Execution
from engine.domain.flow import begin, consider_all, go_round, is_settled, targets_beyond, watch_deadline
from engine.domain.vocabulary import ExecutionStatus


def refusals(state: Execution, step: object) -> Iterator[tuple[str, str]]:
    """Every reason, as code and detail, not to retry an execution; `step` is what the caller says failed."""
    again = _unfinished(state)
    if not state.is_ended:
        yield "not_ended", f"the execution is {state.status}: only one that has ended is retried"
    if state.phase is ExecutionStatus.COMPLETED:
        yield "terminal_execution", "the execution is completed: there is nothing to retry"
    if state.parent is not None:
        parent = state.parent.execution_id
        yield "has_parent", f"the execution {parent} has started it and gone on without it: retry that one"
    if any(each.undone for each in state.steps.values()):
        yield "compensated", "completed steps have been undone: start a new execution"
    if not again:
        yield "no_failed_step", "no step has failed: it would end the same way again"
    if step not in {None, *again}:
        yield "not_failed", f"that step has not failed; a retry begins {', '.join(again)}"


def on_reopened(turn: Turn, _: str) -> Decision:
    """Begin every step that failed or was cancelled; go on where the end came before the next decision."""
    state = turn.state
    decision = Decision(effects=watch_deadline(turn))
    if state.deadline is not None:
        decision.effects.append(MoveDeadline(state.execution_id, state.deadline))
    for name in _unfinished(state):
        decision += begin(turn, name)
    beyond: dict[str, None] = {}
    for step in _ends(turn):
        round_ = go_round(turn, step)
        if round_ is None:
            beyond |= dict.fromkeys(targets_beyond(turn, step))
        else:
            decision += round_
    decision += consider_all(turn, beyond)
    return decision


def _unfinished(state: Execution) -> list[str]:
    return [name for name, step in state.steps.items() if step.begins_again]


def _ends(turn: Turn) -> Iterator[Step]:
    """The settled steps whose edges count: of a cycle the last one, unless another member begins again."""
    steps = turn.state.steps
    for name, found in steps.items():
        step = turn.step(name)
        together = [steps[each] for each in step.cycle if each in steps] or [found]
        unfinished = any(each.begins_again for each in together)
        if is_settled(found) and not unfinished and found.settled == max(each.settled for each in together):
            yield step
