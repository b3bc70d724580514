"""Attempts: issuing one for a step, an item or an undoing, judging its failure, repeating it."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b

import orjson

from engine.domain.decision import Decision, Turn, decided, error, expression_error
from engine.domain.definition import UNLIMITED, Retry, Step
from engine.domain.effects import Deliver, IssueCommand
from engine.domain.events import iso
from engine.domain.execution import Parent, Slot, Unit
from engine.domain.expression import ExpressionFailed
from engine.domain.failing import give_up, seen
from engine.domain.handles import Written, opened, written
from engine.domain.ids import derive_id
from engine.domain.keys import Keys, keys_of
from engine.domain.routing import holds
from engine.domain.scope import scope_of
from engine.domain.vocabulary import EventType, ExecutionStatus

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


def begin_attempt(turn: Turn, slot: Slot, delay: float = 0.0, iteration: int | None = None) -> Decision:
    """Render the input and issue the next attempt, to be claimed `delay` seconds from now.

    `iteration` begins the next round of a `repeat`; otherwise the present one goes on.
    """
    call, unit = turn.call(slot), turn.state.tried(slot)
    attempt = unit.attempt + 1
    round_ = 0 if call.repeat is None else iteration or max(1, unit.iteration)
    try:
        names = names_of(turn, slot, attempt=attempt, iteration=round_)
        rendered = _render_input(turn.at(slot), call, names)
        keys = keys_of(turn, slot, call, names, round_)
        asked = written(rendered)
        _check_sizes(call, asked)
    except ExpressionFailed as failed:
        return give_up(turn, slot, expression_error(failed, attempt=attempt))
    payload: dict[str, object] = {"iteration": round_} if round_ else {}
    if slot.undoing:
        payload["undoing"] = True
    if delay and (keys.permit is not None or call.tool == CHILD_TOOL):
        return _begin_later(turn, slot, delay, payload)
    if call.tool == CHILD_TOOL:
        return _start_child(turn, slot, rendered, payload)
    return _issue(turn, slot, asked, keys, payload, delay=delay)


def names_of(turn: Turn, slot: Slot, **names: object) -> dict[str, object]:
    """What expressions of a slot see besides steps and inputs: for an item, also the item."""
    step, state = turn.step(slot.step), turn.state.steps.get(slot.step)
    if slot.item is None or step.map is None or state is None or state.map is None:
        return names
    items = turn.supply.value(state.map.items)
    item = items[slot.item] if isinstance(items, list) else None
    return {**names, step.map.variable: item, "item_index": slot.item}


def _render_input(turn: Turn, call: Step, names: dict[str, object]) -> object:
    if call.input is None:
        return {}
    rendered = call.input.render(scope_of(turn.state, turn.supply, call.input, names))
    # The inputs of a child are checked and kept by it: they are values, not handles.
    return opened(rendered) if call.tool == CHILD_TOOL else rendered


def _check_sizes(step: Step, asked: Written) -> None:
    fetched = sum(handle.bytes_in_all for handle in asked.handles)
    for size, most in ((len(asked.encoded), MAX_INPUT_BYTES), (fetched, MAX_FETCHED_BYTES)):
        if size > most:
            detail = f"the input of {step.name} has {size} bytes, at most {most} are allowed"
            raise ExpressionFailed("value_too_large", detail)


def _issue(
    turn: Turn, slot: Slot, asked: Written, keys: Keys, payload: dict[str, object], *, delay: float
) -> Decision:
    command = _command(turn, slot, asked, keys, delay)
    payload |= {
        "tool": command.tool,
        "pool": command.pool,
        "input_hash": blake2b(asked.encoded, digest_size=16).hexdigest(),
        "input_bytes": len(asked.encoded),
        **keys.recorded,
    }
    if delay:
        payload |= {"delay_seconds": delay, "available_at": iso(command.available_at)}
    decision = Decision(effects=[command])
    begin_deadline(turn, slot, payload, decision)
    event = decided(
        EventType.COMMAND_ISSUED,
        slot.step,
        payload,
        attempt=command.attempt,
        item=slot.item,
        command_id=command.command_id,
    )
    decision.events.append(event)
    return decision


def _command(turn: Turn, slot: Slot, asked: Written, keys: Keys, delay: float) -> IssueCommand:
    call = turn.call(slot)
    return IssueCommand(
        execution_id=turn.state.execution_id,
        command_id=turn.supply.take_id(),
        step=slot.step,
        attempt=turn.state.tried(slot).attempt + 1,
        item=slot.item,
        tool=call.tool or "",
        pool=call.pool or turn.state.pool,
        priority=_priority(turn, slot),
        input=asked.encoded,
        handles=orjson.dumps(asked.places) if asked.places else None,
        deferred=orjson.dumps(asked.deferred) if asked.deferred else None,
        timeout=call.timeout,
        available_at=turn.supply.now + timedelta(seconds=delay),
        held=turn.state.paused,
        permit=keys.permit,
        idempotency_key=keys.idempotency,
    )


def _priority(turn: Turn, slot: Slot) -> int:
    own = turn.call(slot).priority
    return turn.state.priority if own is None else own


def begin_deadline(turn: Turn, slot: Slot, payload: dict[str, object], decision: Decision) -> None:
    """Set the timer of a deadline with the first attempt, and note it in that event's payload.

    The items of a map have that of their step.
    """
    deadline = turn.call(slot).deadline
    if deadline is None or slot.item is not None or f"{slot}:deadline" in turn.state.timers:
        return
    timer = turn.timer(slot, "deadline", deadline)
    payload["step_deadline"] = iso(timer.due_at)
    decision.effects.append(timer)


def _begin_later(turn: Turn, slot: Slot, delay: float, payload: dict[str, object]) -> Decision:
    timer = turn.timer(slot, "retry", delay)
    payload |= {"timer": timer.key, "due_at": iso(timer.due_at), "delay_seconds": delay}
    return Decision([decided(EventType.TIMER_SET, slot.step, payload, item=slot.item)], [timer])


def _start_child(turn: Turn, slot: Slot, rendered: object, payload: dict[str, object]) -> Decision:
    attempt = turn.state.tried(slot).attempt + 1
    depth = 1 if turn.state.parent is None else turn.state.parent.depth + 1
    if depth > MAX_DEPTH:
        detail = f"{slot.step} cannot start a child: at most {MAX_DEPTH} may be nested; look for a circle"
        return give_up(turn, slot, error("too_deep", detail, attempt=attempt))
    if not isinstance(rendered, dict) or not isinstance(rendered.get("playbook"), str):
        detail = "`with` of the playbook tool needs `playbook`, the path of a registered playbook"
        return give_up(turn, slot, error("validation", detail, attempt=attempt))
    child_id = turn.supply.take_id()
    parent = Parent(turn.state.execution_id, slot.step, depth, slot.item)
    start: dict[str, object] = {
        "playbook": rendered["playbook"],
        "version": rendered.get("version"),
        "inputs": rendered.get("inputs", {}),
        "parent": {**parent._asdict(), "execution_id": str(parent.execution_id)},
        "priority": _priority(turn, slot),
    }
    if turn.call(slot).timeout < UNLIMITED:
        start["deadline_seconds"] = turn.call(slot).timeout
    payload |= {"execution_id": str(child_id), "playbook": rendered["playbook"]}
    decision = Decision(
        effects=[Deliver(target=child_id, kind="start", event_id=derive_id("start", child_id), payload=start)]
    )
    begin_deadline(turn, slot, payload, decision)
    event = decided(EventType.CHILD_STARTED, slot.step, payload, attempt=attempt, item=slot.item)
    decision.events.append(event)
    return decision


def cancel_child(child_id: int, *, compensate: bool = True) -> Deliver:
    """Tell a child that its parent no longer wants it, nor (with `compensate`) what it has done so far."""
    payload: dict[str, object] = {"compensate": compensate}
    return Deliver(target=child_id, kind="cancel", event_id=derive_id("cancel", child_id), payload=payload)


def child_error(status: ExecutionStatus, cause: object) -> dict[str, object]:
    """The error of an attempt whose child has not completed; what failed in the child is its `details`."""
    said = cause.get("message") if isinstance(cause, dict) else None
    return error(f"child_{status}", f"the child is {status}{f': {said}' if said else ''}", details=cause)


def after_failure(turn: Turn, name: str) -> Decision:
    """Retry a failed attempt where the policy allows it, else give the slot up."""
    slot = Slot.parse(name)
    unit = turn.state.tried(slot)
    problem = _problem(turn.supply.value(unit.error), unit.attempt)
    try:
        again = _may_retry(turn, slot, problem)
    except ExpressionFailed as failed:
        return give_up(turn, slot, expression_error(failed, cause=problem))
    if not again:
        return give_up(turn, slot, problem)
    retry = turn.call(slot).retry
    return begin_attempt(turn, slot, retry_delay(retry, unit, turn.state.execution_id, slot))


def after_loss(turn: Turn, name: str) -> Decision:
    """Issue a lost attempt again at once, without using up a try; too many losses give the slot up."""
    slot = Slot.parse(name)
    unit = turn.state.tried(slot)
    if turn.call(slot).retry.on_lost == "fail" or unit.lost >= MAX_LOSSES_IN_A_ROW:
        return give_up(turn, slot, _problem(turn.supply.value(unit.error), unit.attempt))
    return begin_attempt(turn, slot)


def _may_retry(turn: Turn, slot: Slot, problem: dict[str, object]) -> bool:
    unit, retry = turn.state.tried(slot), turn.call(slot).retry
    if unit.failures >= retry.max_attempts or _is_over(turn, slot):
        return False
    if retry.on is None:
        return problem["code"] not in NOT_RETRIED
    names = {"error": seen(problem), "attempt": unit.attempt, "iteration": max(1, unit.iteration)}
    return holds(turn.at(slot), retry.on, names_of(turn, slot, **names))


def _is_over(turn: Turn, slot: Slot) -> bool:
    deadline = turn.state.timers.get(f"{slot._replace(item=None)}:deadline")
    return deadline is not None and deadline <= turn.supply.now


def retry_delay(retry: Retry, unit: Unit, execution_id: int, slot: Slot) -> float:
    """Seconds before the next try, rounded to milliseconds.

    The jitter is drawn from the execution, the slot and the attempt, so that deciding needs no chance; it
    is recorded with the command all the same.
    """
    try:
        plain = min(retry.max_delay, retry.delay * retry.backoff ** (unit.failures - 1))
    except OverflowError:
        plain = retry.max_delay if retry.delay else 0.0
    drawn = derive_id("jitter", execution_id, str(slot), unit.attempt) % JITTER_STEPS / JITTER_STEPS
    return round(plain * (1 + retry.jitter * (2 * drawn - 1)), 3)


def _problem(reported: object, attempt: int) -> dict[str, object]:
    if isinstance(reported, dict) and isinstance(reported.get("code"), str):
        return {"message": "", **reported, "attempt": attempt}
    return error("error", reported if isinstance(reported, str) else "the attempt failed", attempt=attempt)


def deadline_passed(step: str, moment: datetime) -> dict[str, object]:
    """The error of a step whose deadline over all attempts has passed."""
    detail = f"the deadline of {step}, over all its attempts, passed at {iso(moment)}: raise its `deadline`"
    return error("deadline_exceeded", detail)
