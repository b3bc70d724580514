"""The loop of every append: record what came, decide until nothing is due, collect what to write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from engine.domain.attempts import cancel_child, child_error
from engine.domain.decide import decide, finish, stop
from engine.domain.decision import Decision, Turn
from engine.domain.definition import Definition
from engine.domain.effects import EXECUTION_TIMER, STEP_TIMERS, CloseCommand, Deliver, DropTimer, Effect
from engine.domain.events import NewEvent, RecordedEvent
from engine.domain.evolve import evolve
from engine.domain.execution import Execution, Parent, Slot
from engine.domain.handles import held_value
from engine.domain.ids import decided_event_id, derive_id
from engine.domain.scope import Lacking, Supply
from engine.domain.vocabulary import TERMINAL_EVENTS, EventType, ExecutionStatus, known_type

CARRIERS = frozenset(
    {
        EventType.EXECUTION_STARTED,
        EventType.COMMAND_COMPLETED,
        EventType.COMMAND_FAILED,
        EventType.COMMAND_EXPIRED,
        EventType.COMMAND_CANCELLED,
        EventType.CONCURRENCY_REJECTED,
        EventType.STEP_FAILED,
        EventType.SIGNAL_RECEIVED,
        EventType.CHILD_COMPLETED,
        EventType.MAP_OPENED,
        EventType.EXECUTION_CANCELLING,
    }
)
"""Their values are read again; the output of an item only with all the others, by its map's address."""

SETTLING_EVENTS = frozenset(
    {
        EventType.STEP_COMPLETED,
        EventType.STEP_FAILED,
        EventType.STEP_SKIPPED,
        EventType.COMPENSATION_COMPLETED,
        EventType.COMPENSATION_FAILED,
    }
)
UNDONE_EVENTS = frozenset({EventType.COMPENSATION_COMPLETED, EventType.COMPENSATION_FAILED})


@dataclass(slots=True)
class Progress:
    """What one append adds to one execution: events in version order and effects in decided order."""

    events: list[RecordedEvent] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)


def record(state: Execution, event: NewEvent, supply: Supply, progress: Progress) -> RecordedEvent:
    """Give an event its version, fold it into the state and keep it in `progress`."""
    kind = None if state.is_foreign else known_type(event.event_type)
    if kind is not None:
        progress.effects += _ending(state, event, kind)
    recorded = _placed(state, event, supply.now)
    evolve(state, recorded)
    if kind in CARRIERS and not (kind is EventType.COMMAND_COMPLETED and event.item is not None):
        supply.values[recorded.version] = held_value(event.event_type, event.payload)
    progress.events.append(recorded)
    return recorded


def _placed(state: Execution, event: NewEvent, now: datetime) -> RecordedEvent:
    # By position: names would double the time, and this is done for every event.
    return RecordedEvent(
        state.execution_id,
        state.version + 1,
        event.event_id or decided_event_id(state.execution_id, state.version + 1),
        event.event_type,
        event.status,
        now,
        event.created_at or now,
        event.step,
        event.attempt,
        event.item,
        event.payload,
        event.meta,
        event.command_id,
        event.causation_id,
        event.traceparent,
    )


def _ending(state: Execution, event: NewEvent, kind: EventType) -> list[Effect]:
    """What goes with an event: all that is open, at an end; what the settled slots hold, at a settling."""
    if kind in SETTLING_EVENTS:
        return [effect for slot in _settled_slots(state, event) for effect in _closing_slot(state, slot)]
    if kind is EventType.EXECUTION_CANCELLING:
        return _closing(state, kind)
    if kind not in TERMINAL_EVENTS:
        return []
    told = [] if state.parent is None else [_tell_parent(state, state.parent, event)]
    return [*_closing(state, kind), *told]


def advance(state: Execution, definition: Definition | None, supply: Supply, progress: Progress) -> None:
    """Decide until the agenda is empty, or the execution has ended.

    Raises `Lacking` between two decisions: load what it names and call again with the same arguments.
    A foreign execution is never decided. One whose budget is spent fails.
    """
    if definition is None or state.is_foreign:
        state.agenda.clear()
        return
    turn = Turn(state, definition, supply)
    while not state.is_ended and state.version:
        if supply.budget.is_pause_due():
            raise Lacking
        decision = _next(turn)
        if decision is None:
            break
        supply.use_up()
        supply.budget.count(len(decision.events))
        progress.effects += decision.effects
        for event in decision.events:
            record(state, event, supply, progress)
    supply.budget.renew()


def _next(turn: Turn) -> Decision | None:
    """Decide what is due next; None when nothing is. Every decision has its fuel for itself."""
    state = turn.state
    turn.supply.budget.begin()
    if turn.supply.budget.is_spent and state.ending is None:
        return stop(turn)
    if state.agenda:
        decision = decide(turn, state.agenda[0])
        if not decision.is_part:
            del state.agenda[0]
        return decision
    return finish(turn) if state.active == 0 and state.ending is None else None


def replay(state: Execution, events: Iterable[RecordedEvent]) -> Execution:
    """Fold recorded events; everything they asked for was decided when they were recorded."""
    for event in events:
        evolve(state, event)
    state.agenda.clear()
    return state


def _settled_slots(state: Execution, event: NewEvent) -> list[Slot]:
    """What an event settles: an item, an undoing, or a step with all that is open of it."""
    name = event.step or ""
    if event.item is not None:
        return [Slot(name, event.item)]
    if event.event_type in UNDONE_EVENTS:
        return [Slot(name, undoing=True)]
    return state.open_slots(name)


def _closing_slot(state: Execution, slot: Slot) -> list[Effect]:
    unit = state.tried(slot)
    keys = [f"{slot}:{what}" for what in STEP_TIMERS]
    effects: list[Effect] = [DropTimer(state.execution_id, key) for key in keys if key in state.timers]
    if unit.command_id is not None:
        effects.append(CloseCommand(unit.command_id))
    if unit.child_id in state.children:
        effects.append(cancel_child(unit.child_id))
    return effects


def _closing(state: Execution, kind: EventType) -> list[Effect]:
    effects: list[Effect] = [CloseCommand(command_id) for command_id in state.commands]
    effects += [DropTimer(state.execution_id, key) for key in state.timers]
    if state.deadline is not None:
        effects.append(DropTimer(state.execution_id, EXECUTION_TIMER))
    compensate = kind is not EventType.EXECUTION_CANCELLED
    return [*effects, *(cancel_child(child_id, compensate=compensate) for child_id in state.children)]


def _tell_parent(state: Execution, parent: Parent, event: NewEvent) -> Deliver:
    payload = dict(event.payload) if isinstance(event.payload, dict) else {}
    status = TERMINAL_EVENTS[EventType(event.event_type)]
    if status is not ExecutionStatus.COMPLETED:
        payload["error"] = child_error(status, payload.get("error"))
    payload |= {"execution_id": str(state.execution_id), "step": parent.step, "status": status.value}
    if parent.item is not None:
        payload["item"] = parent.item
    event_id = derive_id("child_ended", state.execution_id)
    return Deliver(target=parent.execution_id, kind="child_ended", event_id=event_id, payload=payload)
