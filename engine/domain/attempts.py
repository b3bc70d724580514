"""Attempts of a step: issuing one, judging its failure, repeating it."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b

import orjson

from engine.domain.decision import Decision, Turn, decided, error, expression_error, fail_step
from engine.domain.definition import Retry, Step
from engine.domain.effects import Deliver, IssueCommand, SetTimer
from engine.domain.events import iso
from engine.domain.expression import ExpressionFailed
from engine.domain.handles import Written, opened, written
from engine.domain.ids import derive_id
from engine.domain.scope import scope_of
from engine.domain.vocabulary import ACTIVE_STEPS, EventType

MAX_INPUT_BYTES = 256 * 1024
MAX_FETCHED_BYTES = 64 * 1024 * 1024
"""What the payloads of one input may have together: a worker holds them all at once."""

MAX_LOSSES_IN_A_ROW = 3
MAX_DEPTH = 16
CHILD_TOOL = "playbook"
NOT_RETRIED = frozenset(
    {"expression_error", "validation", "not_allowed", "output_too_large", "value_too_large", "cancelled"}
)
JITTER_STEPS = 2**32


def begin_attempt(turn: Turn, step: Step, delay: float = 0.0) -> Decision:
    """Render the input and issue the next attempt, to be claimed `delay` seconds from now."""
    attempt = turn.state.step(step.name).attempt + 1
    try:
        rendered = _render_input(turn, step, attempt)
        asked = written(rendered)
        _check_sizes(step, asked)
    except ExpressionFailed as failed:
        return fail_step(step.name, expression_error(failed, attempt=attempt))
    if step.tool == CHILD_TOOL:
        return _start_child(turn, step, attempt, rendered) if not delay else _start_later(turn, step, delay)
    return _issue(turn, step, attempt, asked, delay)


def _render_input(turn: Turn, step: Step, attempt: int) -> object:
    if step.input is None:
        return {}
    rendered = step.input.render(scope_of(turn.state, turn.supply, step.input, attempt=attempt))
    # The inputs of a child are checked and kept by it: they are values, not handles.
    return opened(rendered) if step.tool == CHILD_TOOL else rendered


def _check_sizes(step: Step, asked: Written) -> None:
    fetched = sum(handle.bytes for handle in asked.handles)
    for size, most in ((len(asked.encoded), MAX_INPUT_BYTES), (fetched, MAX_FETCHED_BYTES)):
        if size > most:
            detail = f"the input of {step.name} has {size} bytes, at most {most} are allowed"
            raise ExpressionFailed("value_too_large", detail)


def _issue(turn: Turn, step: Step, attempt: int, asked: Written, delay: float) -> Decision:
    now = turn.supply.now
    available_at = now + timedelta(seconds=delay)
    pool = step.pool or turn.state.pool
    payload: dict[str, object] = {
        "tool": step.tool,
        "pool": pool,
        "input_hash": blake2b(asked.encoded, digest_size=16).hexdigest(),
        "input_bytes": len(asked.encoded),
    }
    if delay:
        payload |= {"delay_seconds": delay, "available_at": iso(available_at)}
    command = IssueCommand(
        execution_id=turn.state.execution_id,
        command_id=turn.supply.take_id(),
        step=step.name,
        attempt=attempt,
        tool=step.tool or "",
        pool=pool,
        priority=turn.state.priority if step.priority is None else step.priority,
        input=asked.encoded,
        handles=orjson.dumps(asked.places) if asked.places else None,
        timeout=step.timeout,
        available_at=available_at,
    )
    decision = Decision(effects=[command])
    begin_deadline(turn, step, payload, decision)
    decision.events.append(
        decided(EventType.COMMAND_ISSUED, step.name, payload, attempt=attempt, command_id=command.command_id)
    )
    return decision


def begin_deadline(turn: Turn, step: Step, payload: dict[str, object], decision: Decision) -> None:
    """Set the timer of the step's deadline with its first attempt, and note it in that event's payload."""
    if step.deadline is None or turn.state.step(step.name).status in ACTIVE_STEPS:
        return
    due_at = turn.supply.now + timedelta(seconds=step.deadline)
    payload["step_deadline"] = iso(due_at)
    decision.effects.append(SetTimer(turn.state.execution_id, f"{step.name}:deadline", due_at))


def _start_later(turn: Turn, step: Step, delay: float) -> Decision:
    due_at = turn.supply.now + timedelta(seconds=delay)
    key = f"{step.name}:retry"
    payload = {"timer": key, "due_at": iso(due_at), "delay_seconds": delay}
    return Decision(
        [decided(EventType.TIMER_SET, step.name, payload)],
        [SetTimer(turn.state.execution_id, key, due_at)],
    )


def _start_child(turn: Turn, step: Step, attempt: int, rendered: object) -> Decision:
    depth = 1 if turn.state.parent is None else turn.state.parent.depth + 1
    if depth > MAX_DEPTH:
        detail = f"children may be nested {MAX_DEPTH} deep"
        return fail_step(step.name, error("too_deep", detail, attempt=attempt))
    if not isinstance(rendered, dict) or not isinstance(rendered.get("playbook"), str):
        detail = "`with` of the playbook tool needs `playbook`, the path of a registered playbook"
        return fail_step(step.name, error("validation", detail, attempt=attempt))
    child_id = turn.supply.take_id()
    start: dict[str, object] = {
        "playbook": rendered["playbook"],
        "version": rendered.get("version"),
        "inputs": rendered.get("inputs", {}),
        "parent": {"execution_id": str(turn.state.execution_id), "step": step.name, "depth": depth},
        "priority": turn.state.priority,
    }
    payload: dict[str, object] = {"execution_id": str(child_id), "playbook": rendered["playbook"]}
    decision = Decision(
        effects=[Deliver(target=child_id, kind="start", event_id=derive_id("start", child_id), payload=start)]
    )
    begin_deadline(turn, step, payload, decision)
    decision.events.append(decided(EventType.CHILD_STARTED, step.name, payload, attempt=attempt))
    return decision


def cancel_child(child_id: int) -> Deliver:
    """Tell a child that its parent no longer wants it."""
    return Deliver(target=child_id, kind="cancel", event_id=derive_id("cancel", child_id), payload={})


def after_failure(turn: Turn, name: str) -> Decision:
    """Retry a failed attempt where the policy allows it, else fail the step."""
    step, state = turn.step(name), turn.state.step(name)
    problem = _problem(turn.supply.value(state.error), state.attempt)
    try:
        again = _may_retry(turn, step, problem)
    except ExpressionFailed as failed:
        return fail_step(name, expression_error(failed, cause=problem))
    if not again:
        return fail_step(name, problem)
    return begin_attempt(turn, step, retry_delay(step.retry, state.failures, turn.state.execution_id, name))


def after_loss(turn: Turn, name: str) -> Decision:
    """Issue a lost attempt again at once, without using up a try; too many losses fail the step."""
    step, state = turn.step(name), turn.state.step(name)
    if step.retry.on_lost == "fail" or state.lost >= MAX_LOSSES_IN_A_ROW:
        return fail_step(name, _problem(turn.supply.value(state.error), state.attempt))
    return begin_attempt(turn, step)


def _may_retry(turn: Turn, step: Step, problem: dict[str, object]) -> bool:
    state, retry = turn.state.step(step.name), step.retry
    if state.failures >= retry.max_attempts:
        return False
    deadline = turn.state.timers.get(f"{step.name}:deadline")
    if deadline is not None and deadline <= turn.supply.now:
        return False
    if retry.on is None:
        return problem["code"] not in NOT_RETRIED
    seen = {"status": None, "details": None, **problem}
    scope = scope_of(turn.state, turn.supply, retry.on, error=seen, attempt=state.attempt)
    answer = retry.on.run(scope)
    if not isinstance(answer, bool):
        raise ExpressionFailed("type_mismatch", "retry.on: true or false is needed")
    return answer


def retry_delay(retry: Retry, failures: int, execution_id: int, step: str) -> float:
    """Seconds before the next try, rounded to milliseconds.

    The jitter is drawn from the execution, the step and the try, so that deciding needs no chance; it
    is recorded with the command all the same.
    """
    try:
        plain = min(retry.max_delay, retry.delay * retry.backoff ** (failures - 1))
    except OverflowError:
        plain = retry.max_delay
    drawn = derive_id("jitter", execution_id, step, failures) % JITTER_STEPS / JITTER_STEPS
    return round(plain * (1 + retry.jitter * (2 * drawn - 1)), 3)


def _problem(reported: object, attempt: int) -> dict[str, object]:
    if isinstance(reported, dict) and isinstance(reported.get("code"), str):
        return {"message": "", **reported, "attempt": attempt}
    return error("error", reported if isinstance(reported, str) else "the attempt failed", attempt=attempt)


def deadline_passed(deadline: datetime) -> dict[str, object]:
    """The error of a step whose deadline over all attempts has passed."""
    return error("deadline_exceeded", f"the step's deadline passed at {iso(deadline)}")
