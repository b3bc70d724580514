"""What happens next: one item of the agenda in, events and effects out; pure, nothing is changed here.

started         ──▶ begin every root
begin           ──▶ step.skipped (guard) | wait.opened | child.started | command.issued
succeeded       ──▶ step.completed, with the targets chosen by `next`
settled         ──▶ begin, or skip as not taken, each target whose join is satisfied
attempt_failed  ──▶ command.issued (retry) | step.failed
failed          ──▶ execution.failed
nothing is due and no step is active ──▶ execution.completed
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from engine.domain.attempts import (
    MAX_INPUT_BYTES,
    after_failure,
    after_loss,
    begin_attempt,
    cancel_child,
    deadline_passed,
)
from engine.domain.decision import Decision, Turn, decided, error, fail_step
from engine.domain.effects import EXECUTION_TIMER, CloseCommand
from engine.domain.events import iso
from engine.domain.execution import Due
from engine.domain.expression import ExpressionFailed
from engine.domain.flow import on_settled, on_started, on_succeeded
from engine.domain.handles import written
from engine.domain.scope import scope_of
from engine.domain.vocabulary import ACTIVE_STEPS, EventType
from engine.domain.waits import on_signal, on_wait_due, on_wait_timed_out

MAX_OUTPUT_BYTES = MAX_INPUT_BYTES


def decide(turn: Turn, due: Due) -> Decision:
    """Answer one item of the agenda. Raises `Lacking` when values or ids have to be loaded first."""
    return CASES[due.what](turn, due.name)


def finish(turn: Turn) -> Decision:
    """End an execution in which nothing is left to do: evaluate its output and complete it."""
    template = turn.definition.output
    output: object = None
    if template is not None:
        try:
            output = template.render(scope_of(turn.state, turn.supply, template))
        except ExpressionFailed as failed:
            return _fail_execution(error("output_error", str(failed)))
    encoded, places, _ = written(output)
    if len(encoded) > MAX_OUTPUT_BYTES:
        return _fail_execution(error("output_error", f"the output exceeds {MAX_OUTPUT_BYTES} bytes"))
    payload: dict[str, object] = {"output": output}
    if places:
        payload = {"output": orjson.loads(encoded), "handles": places}
    return Decision([decided(EventType.EXECUTION_COMPLETED, None, payload)])


def _on_failed(turn: Turn, name: str) -> Decision:
    problem = turn.supply.value(turn.state.step(name).error)
    details = problem if isinstance(problem, dict) else {}
    return _fail_execution({**error("step_failed", f"step {name} failed"), **details, "step": name})


def _fail_execution(problem: dict[str, object]) -> Decision:
    return Decision([decided(EventType.EXECUTION_FAILED, None, {"error": problem})])


def _on_timer(turn: Turn, key: str) -> Decision:
    if key == EXECUTION_TIMER:
        deadline = turn.state.deadline
        when = "" if deadline is None else f" at {iso(deadline)}"
        problem = error("deadline_exceeded", f"the execution's deadline passed{when}")
        return Decision([decided(EventType.EXECUTION_TIMED_OUT, None, {"error": problem})])
    name, _, what = key.rpartition(":")
    if what == "wait":
        return on_wait_due(turn, name)
    if what == "retry":
        return begin_attempt(turn, turn.step(name))
    return _on_step_deadline(turn, name)


def _on_step_deadline(turn: Turn, name: str) -> Decision:
    step = turn.state.step(name)
    if step.status not in ACTIVE_STEPS:
        return Decision()
    decision = fail_step(name, deadline_passed(turn.supply.now))
    if step.command_id is not None:
        decision.effects.append(CloseCommand(step.command_id))
    if step.child_id in turn.state.children:
        decision.effects.append(cancel_child(step.child_id))
    return decision


CASES: dict[str, Callable[[Turn, str], Decision]] = {
    "started": on_started,
    "settled": on_settled,
    "succeeded": on_succeeded,
    "attempt_failed": after_failure,
    "worker_lost": after_loss,
    "failed": _on_failed,
    "signal": on_signal,
    "timer": _on_timer,
    "wait_timed_out": on_wait_timed_out,
}
