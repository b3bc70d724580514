"""What happens next: one item of the agenda in, events and effects out; pure, nothing is changed here.

started         ──▶ begin every root
reopened        ──▶ begin every step that failed or was cancelled
begin           ──▶ step.skipped (guard) | wait.opened | child.started | command.issued
succeeded       ──▶ step.completed, with the targets chosen by `next`
settled         ──▶ begin, or skip as not taken, each target whose join is satisfied
map             ──▶ command.issued for as many items as have room | map.closed
attempt_failed  ──▶ command.issued (retry) | what `on_error` says | step.failed
failed          ──▶ execution.failed | execution.cancelling
compensate      ──▶ compensation.started and command.issued | the terminal event
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
    deadline_passed,
)
from engine.domain.budget import MOST_EVENTS, MOST_FUEL
from engine.domain.compensation import end, on_compensate, on_undone
from engine.domain.decision import Decision, Turn, decided, error
from engine.domain.effects import EXECUTION_TIMER
from engine.domain.events import iso
from engine.domain.execution import Due, Slot
from engine.domain.expression import ExpressionFailed
from engine.domain.failing import give_up
from engine.domain.flow import begin, on_settled, on_started, on_succeeded
from engine.domain.handles import written
from engine.domain.maps import on_map
from engine.domain.reopening import on_reopened
from engine.domain.scope import scope_of
from engine.domain.vocabulary import ACTIVE_STEPS, EventType, ExecutionStatus
from engine.domain.waiting import waits_for
from engine.domain.waits import on_signal, on_wait_due, on_wait_timed_out

MAX_OUTPUT_BYTES = MAX_INPUT_BYTES
STEPS_NAMED = 5


def decide(turn: Turn, due: Due) -> Decision:
    """Answer one item of the agenda. Raises `Lacking` when values or ids have to be loaded first."""
    return CASES[due.what](turn, due.name)


def finish(turn: Turn) -> Decision:
    """End an execution in which nothing is left to do: evaluate its output and complete it."""
    template = turn.definition.output
    output: object = None
    try:
        if template is not None:
            output = template.render(scope_of(turn.state, turn.supply, template))
        encoded, places, *_ = written(output)
    except ExpressionFailed as failed:
        return _fail(turn, error("output_error", str(failed)))
    if len(encoded) > MAX_OUTPUT_BYTES:
        return _fail(turn, error("output_error", f"the output exceeds {MAX_OUTPUT_BYTES} bytes"))
    payload: dict[str, object] = {"output": output}
    if places:
        payload = {"output": orjson.loads(encoded), "handles": places}
    return Decision([decided(EventType.EXECUTION_COMPLETED, None, payload)])


def stop(turn: Turn) -> Decision:
    """End an execution in which one event from outside sets off too much: it would stop all others."""
    detail = (
        f"one event has set off more than {MOST_EVENTS} others, or expressions that need more than "
        f"{MOST_FUEL} units of fuel: let cycles end sooner, or wait for something; lower `max_in_flight`"
    )
    return _fail(turn, error("too_much_at_once", detail))


def _fail(turn: Turn, problem: dict[str, object]) -> Decision:
    return end(turn, ExecutionStatus.FAILED, problem)


def _on_failed(turn: Turn, name: str) -> Decision:
    problem = turn.supply.value(turn.state.step(name).error)
    details = problem if isinstance(problem, dict) else {}
    problem = {**error("step_failed", f"step {name} failed"), **details, "step": name}
    return _fail(turn, problem)


def _on_timer(turn: Turn, key: str) -> Decision:
    if key == EXECUTION_TIMER:
        deadline = turn.state.deadline
        when = "" if deadline is None else f" at {iso(deadline)}"
        open_steps = ", ".join(wait.step for wait in waits_for(turn.state)[:STEPS_NAMED] if wait.step)
        detail = f"the execution's deadline passed{when}; still open: {open_steps}"
        problem = error("deadline_exceeded", detail)
        return end(turn, ExecutionStatus.TIMED_OUT, problem)
    name, _, what = key.rpartition(":")
    if what == "wait":
        return on_wait_due(turn, name)
    if what == "retry":
        return begin_attempt(turn, Slot.parse(name))
    return _on_deadline(turn, Slot.parse(name))


def _on_deadline(turn: Turn, slot: Slot) -> Decision:
    if not slot.undoing and turn.state.status_of(slot.step) not in ACTIVE_STEPS:
        return Decision()
    return give_up(turn, slot, deadline_passed(slot.step, turn.supply.now))


CASES: dict[str, Callable[[Turn, str], Decision]] = {
    "started": on_started,
    "reopened": on_reopened,
    "settled": on_settled,
    "succeeded": on_succeeded,
    "attempt_failed": after_failure,
    "worker_lost": after_loss,
    "failed": _on_failed,
    "signal": on_signal,
    "timer": _on_timer,
    "wait_timed_out": on_wait_timed_out,
    "begin": begin,
    "map": on_map,
    "compensate": on_compensate,
    "undone": on_undone,
}
