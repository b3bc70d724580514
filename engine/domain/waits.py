"""Waiting steps: opening a wait, and what a signal, a moment or a time-out does to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.domain.attempts import begin_deadline
from engine.domain.decision import Decision, Turn, decided, error, expression_error
from engine.domain.definition import Step, Wait
from engine.domain.effects import DropTimer, SetTimer
from engine.domain.events import iso, parse_iso
from engine.domain.execution import Slot
from engine.domain.expression import ExpressionFailed
from engine.domain.failing import give_up
from engine.domain.routing import pass_on
from engine.domain.scope import scope_of
from engine.domain.vocabulary import EventType


def open_wait(turn: Turn, step: Step, wait: Wait) -> Decision:
    """Begin to wait; a signal that came early is due at once."""
    try:
        until = _until(turn, wait)
    except ExpressionFailed as failed:
        return give_up(turn, Slot(step.name), expression_error(failed))
    payload: dict[str, object] = {}
    decision = Decision()
    if wait.event is not None:
        payload["event"] = wait.event
    limit = None if wait.timeout is None else turn.supply.now + timedelta(seconds=wait.timeout)
    if limit is not None and (until is None or limit < until):
        until, payload["times_out"] = limit, True
    if until is not None:
        payload["until"] = iso(until)
        decision.effects.append(SetTimer(turn.state.execution_id, f"{step.name}:wait", until))
    decision.events.append(decided(EventType.WAIT_OPENED, step.name, payload))
    begin_deadline(turn, Slot(step.name), payload, decision)
    return decision


def _until(turn: Turn, wait: Wait) -> datetime | None:
    if wait.until is not None:
        value = wait.until.run(scope_of(turn.state, turn.supply, wait.until))
        try:
            moment = parse_iso(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            raise ExpressionFailed("type_mismatch", "wait.until: an RFC 3339 time is needed") from None
        raise ExpressionFailed("type_mismatch", "wait.until: the time needs an offset such as Z")
    return None if wait.duration is None else turn.supply.now + timedelta(seconds=wait.duration)


def on_signal(turn: Turn, signal: str) -> Decision:
    """Give the oldest signal of that name to the step that has waited longest; without one it is kept."""
    waiters, queue = turn.state.waits.get(signal), turn.state.mailbox.get(signal)
    if not waiters or not queue:
        return Decision()
    return Decision(
        [decided(EventType.WAIT_SATISFIED, waiters[0], {"signal": queue[0].version})],
        [DropTimer(turn.state.execution_id, f"{waiters[0]}:wait")],
    )


def on_wait_due(turn: Turn, name: str) -> Decision:
    """The moment of a wait has come: what was waited for, or the time-out."""
    waiting = turn.state.step(name).waiting
    if waiting is None:
        return Decision()
    if waiting.times_out:
        return Decision([decided(EventType.WAIT_TIMED_OUT, name, {"event": waiting.event})])
    return Decision([decided(EventType.WAIT_SATISFIED, name, {})])


def on_wait_timed_out(turn: Turn, name: str) -> Decision:
    """Go where `on_timeout` says: a step, a skip, or (by default) fail."""
    wait = turn.step(name).wait
    where = "fail" if wait is None else wait.on_timeout
    if where == "fail":
        what = "" if wait is None or wait.event is None else f" for {wait.event}"
        detail = f"{name} waited{what} in vain: send it sooner, raise `timeout`, or say `on_timeout`"
        return give_up(turn, Slot(name), error("wait_timeout", detail))
    payload: dict[str, object] = {"reason": "timed_out"}
    if where == "skip":
        return pass_on(turn, turn.step(name), EventType.STEP_SKIPPED, payload)
    return Decision([decided(EventType.STEP_SKIPPED, name, {**payload, "next": [where]})])
