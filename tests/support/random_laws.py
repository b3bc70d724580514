"""What holds for every execution, after each append and in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from engine.domain.admit import Verdict
from engine.domain.advance import Progress, advance, replay
from engine.domain.definition import Retry, Step
from engine.domain.effects import EXECUTION_TIMER
from engine.domain.events import NewEvent, RecordedEvent
from engine.domain.execution import Execution, Slot, StepState, Unit, initial
from engine.domain.scope import Supply
from engine.domain.snapshot import dump, load
from engine.domain.vocabulary import (
    ACTIVE_STEPS,
    SETTLED_STEPS,
    TERMINAL_EVENTS,
    EventType,
    ExecutionStatus,
    StepStatus,
)
from playlog.testing.rows import LEASE_TOKEN, Rows
from playlog.testing.stream import MemoryStream
from tests.support.waiting import check_waits

AFTER_THE_END = frozenset({*TERMINAL_EVENTS, EventType.COMMAND_LATE})
SETTLING = frozenset({EventType.STEP_COMPLETED, EventType.STEP_FAILED, EventType.STEP_SKIPPED})
UNDONE = frozenset({EventType.COMPENSATION_COMPLETED, EventType.COMPENSATION_FAILED})
BEGINNINGS = frozenset({EventType.COMMAND_ISSUED, EventType.CHILD_STARTED})
OUTCOMES = frozenset({EventType.COMMAND_COMPLETED, EventType.COMMAND_FAILED, EventType.COMMAND_EXPIRED})
EVENTS_A_TRY = 5
LOSSES_A_TRY = 3
MOST_VISITS = 1_000


def refolded(stream: MemoryStream, cut: int) -> Execution:
    """The state after a crash: a snapshot of a prefix and the rest. It equals what was thrown away."""
    fresh = initial(stream.execution_id, stream.definition.hash)
    prefix = dump(replay(fresh, stream.log[:cut]))
    state = replay(load(prefix), stream.log[cut:])
    assert state == stream.state
    progress = Progress()
    if state.version:
        advance(state, stream.definition, Supply(now=stream.log[-1].recorded_at), progress)
    assert not progress.events, "a replayed log decides anew"
    assert not progress.effects
    return state


def check_state(stream: MemoryStream, rows: Rows, streams: Mapping[int, MemoryStream]) -> None:
    """The tables hold what the state says, and each step under way has somebody who moves it next."""
    state = stream.state
    ours = stream.execution_id
    assert not state.agenda
    check_waits(state)
    open_commands = {key for key, row in rows.open.items() if row.command.execution_id == ours}
    assert open_commands == state.commands.keys()
    timers = {key: due for (execution_id, key), due in rows.timers.items() if execution_id == ours}
    if timers.pop(EXECUTION_TIMER, None) is not None:
        assert not state.is_ended
    assert timers == state.timers
    _check_children(state, rows, streams)
    statuses = Counter(step.status for step in state.steps.values())
    assert state.active == sum(statuses[status] for status in ACTIVE_STEPS)
    assert state.waiting == statuses[StepStatus.WAITING]
    if state.is_ended:
        left = [state.commands, state.timers, state.children, state.waits, state.active]
        assert not any(left), left
    elif state.phase is ExecutionStatus.COMPENSATING:
        assert not state.active
        undoing = [name for name, step in state.steps.items() if step.undo is not None]
        assert len(undoing) == 1
        _check_moved(state, Slot(undoing[0], undoing=True), state.steps[undoing[0]].undo)
    elif state.version:
        assert state.active, "nothing is under way, and yet it has not ended"
    for name, step in state.steps.items():
        if step.status in ACTIVE_STEPS:
            _check_step(stream, name, step)


def check_wanted(rows: Rows, streams: Mapping[int, MemoryStream]) -> None:
    """Every child that runs is one that its parent waits for, or is about to be told that it does not."""
    cancelled = {delivery.target for delivery in rows.deliveries if delivery.kind == "cancel"}
    for child_id, stream in streams.items():
        parent = stream.state.parent
        if parent is not None and not stream.state.is_ended and stream.state.ending is None:
            wanted = child_id in streams[parent.execution_id].state.children
            assert wanted or child_id in cancelled, "a child that nobody wants"


def _check_children(state: Execution, rows: Rows, streams: Mapping[int, MemoryStream]) -> None:
    for child_id in state.children:
        messages = {delivery.kind for delivery in rows.deliveries if delivery.target == child_id}
        told = [
            d
            for d in rows.deliveries
            if d.kind == "child_ended" and d.payload["execution_id"] == str(child_id)
        ]
        running = child_id in streams and not streams[child_id].state.is_ended
        assert "start" in messages or running or told, "a child that nobody will tell of"


def _check_step(stream: MemoryStream, name: str, step: StepState) -> None:
    state = stream.state
    if step.map is not None:
        assert step.map.open, "a map without an item under way"
        assert len(step.map.open) <= stream.definition.steps[name].map.max_in_flight  # type: ignore[union-attr]
        for item, unit in step.map.open.items():
            _check_moved(state, Slot(name, item), unit)
    elif step.waiting is not None:
        assert f"{name}:wait" in state.timers
        if step.waiting.event is not None:
            assert name in state.waits[step.waiting.event]
            assert step.waiting.event not in state.mailbox
    else:
        _check_moved(state, Slot(name), step)


def _check_moved(state: Execution, slot: Slot, unit: Unit | None) -> None:
    assert unit is not None
    movers = [
        unit.command_id is not None and state.commands.get(unit.command_id) == slot,
        unit.child_id is not None and state.children.get(unit.child_id) == slot,
        f"{slot}:retry" in state.timers,
    ]
    assert movers.count(True) == 1, f"{slot}: {movers}"


def check_whole(stream: MemoryStream, sent: int) -> None:
    """An execution that has ended: once, with every item's outcome, in bounded work, and replayable."""
    types = [event.event_type for event in stream.log]
    runs = _runs(types)
    for run in runs:
        (end,) = [place for place, name in enumerate(run) if name in TERMINAL_EVENTS]
        assert set(run[end:]) <= AFTER_THE_END
    assert [event.version for event in stream.log] == list(range(1, len(types) + 1))
    assert len({event.event_id for event in stream.log}) == len(types)
    if stream.state.phase is ExecutionStatus.COMPLETED:
        unsettled = [
            name for name in stream.definition.steps if stream.state.status_of(name) not in SETTLED_STEPS
        ]
        assert not unsettled, unsettled
    _check_flow(stream)
    _check_tries(stream)
    _check_commands(stream.log)
    _check_visits(stream)
    _check_undone(stream, runs[-1])
    _check_items(stream)
    bound = (
        sent
        + 10 * len(runs)
        + sum(_most_events(stream, step, len(runs)) for step in stream.definition.steps.values())
    )
    assert len(types) <= bound, f"{len(types)} events where at most {bound} can be"
    refolded(stream, len(types) // 2)


def _runs(types: list[str]) -> list[list[str]]:
    """The events of each run of an execution: the first one, and one for each time it was retried."""
    begins = [place for place, name in enumerate(types) if name == EventType.EXECUTION_REOPENED]
    return [types[begin:end] for begin, end in zip([0, *begins], [*begins, len(types)], strict=True)]


def check_repeats(stream: MemoryStream, rows: Rows) -> None:
    """Whatever is said of any command after the end is late, or known already."""
    for row in rows.commands.values():
        if row.command.execution_id == stream.execution_id:
            again = NewEvent(
                event_type=EventType.COMMAND_COMPLETED.value,
                status="COMPLETED",
                command_id=row.command.command_id,
                lease_token=LEASE_TOKEN,
            )
            verdict = stream.judge(again, stream.log[-1].recorded_at, row.fact).verdict
            assert verdict in {Verdict.LATE, Verdict.DUPLICATE}


def _check_commands(log: list[RecordedEvent]) -> None:
    issued = Counter(event.command_id for event in log if event.event_type == EventType.COMMAND_ISSUED)
    settled = Counter(event.command_id for event in log if event.event_type in OUTCOMES)
    assert set(issued.values()) <= {1}
    assert set(settled.values()) <= {1}
    assert settled.keys() <= issued.keys()


def _check_visits(stream: MemoryStream) -> None:
    """A step settles once, and once more for each time that it begins anew on a cycle."""
    retried = any(event.event_type == EventType.EXECUTION_REOPENED for event in stream.log)
    settled = Counter(e.step for e in stream.log if e.event_type in SETTLING and e.item is None)
    for name, count in settled.items():
        assert name is not None
        assert count <= stream.state.steps[name].visits + 1
        again = stream.definition.steps[name].cycle or retried
        assert count == 1 or again, f"{name} has settled {count} times"


def _check_undone(stream: MemoryStream, last_run: list[str]) -> None:
    """Rule 15: whatever completed is undone once, each visit of a cycle too, the last one first."""
    steps = stream.definition.steps
    done = [e.step for e in stream.log if e.event_type == EventType.STEP_COMPLETED and e.step is not None]
    undone = [e.step for e in stream.log if e.event_type in UNDONE]
    wanted = [name for name in reversed(done) if steps[name].compensate is not None]
    assert undone == (wanted if EventType.EXECUTION_CANCELLING in last_run else [])


def _check_flow(stream: MemoryStream) -> None:
    """Rules 1 to 3: a step runs exactly when a live edge led to it, a join of all after all have settled."""
    reached = set(stream.definition.roots)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    not_taken: set[str] = set()
    for event in stream.log:
        name = event.step
        if name is None or event.event_type in {EventType.COMMAND_LATE, EventType.CHILD_COMPLETED}:
            continue
        first.setdefault(name, event.version)
        if event.event_type in SETTLING and event.item is None:
            last[name] = event.version
            live = _live_edges(event, stream.definition.steps[name])
            reached.update(live or ())
            not_taken |= {name} if live is None else set()
    if stream.state.phase is ExecutionStatus.COMPLETED:
        assert not_taken == stream.definition.steps.keys() - reached
    for name, began in first.items():
        step = stream.definition.steps[name]
        if step.join == "all" or name in not_taken:
            late = [source for source in step.incoming if last.get(source, began) >= began]
            assert not late, f"{name} did not wait for {late}"


def _live_edges(event: RecordedEvent, step: Step) -> Sequence[str] | None:
    """Where a step led when it settled; None when no edge had led to it."""
    said = event.payload if isinstance(event.payload, dict) else {}
    if said.get("reason") == "not_taken":
        return None
    unanswered = event.event_type == EventType.STEP_FAILED and "handled" not in said
    return () if unanswered else said.get("next", step.flows)


def _check_tries(stream: MemoryStream) -> None:
    """No slot is tried more often than its policy says, nor repeated, nor lost too often in a row."""
    failures: Counter[Slot] = Counter()
    losses: Counter[Slot] = Counter()
    rounds: Counter[Slot] = Counter()
    slots: dict[object, Slot] = {}
    for event in stream.log:
        payload = event.payload if isinstance(event.payload, dict) else {}
        if event.event_type in BEGINNINGS:
            slot = Slot(event.step or "", event.item, bool(payload.get("undoing")))
            slots[event.command_id or payload["execution_id"]] = slot
            _check_try(stream.definition.steps[slot.step], slot, failures[slot], losses[slot])
            goes_on = payload.get("iteration", 1) - rounds[slot]
            assert goes_on in {0, 1}
            rounds[slot] += goes_on
            assert rounds[slot] <= _rounds(stream.definition.steps[slot.step])
            continue
        slot = slots.get(event.command_id or payload.get("execution_id"), Slot(""))
        if event.event_type == EventType.COMMAND_EXPIRED and payload["reason"] == "lost":
            losses[slot] += 1
        elif event.event_type in {*OUTCOMES, EventType.CHILD_COMPLETED}:
            losses[slot] = 0
            failures[slot] = 0 if _succeeded(event, payload) else failures[slot] + 1
        else:
            for each in _begun_anew(event, set(rounds)):
                failures[each] = losses[each] = rounds[each] = 0


def _check_try(step: Step, slot: Slot, failures: int, losses: int) -> None:
    policy = step.compensate.retry if slot.undoing and step.compensate is not None else step.retry
    assert failures < policy.max_attempts
    assert losses < LOSSES_A_TRY


def _begun_anew(event: RecordedEvent, slots: set[Slot]) -> set[Slot]:
    """The slots whose tries are counted from zero after this event."""
    if event.event_type == EventType.EXECUTION_REOPENED:
        return slots
    settles = event.event_type in SETTLING | UNDONE and event.item is None
    return {slot for slot in slots if settles and slot.step == event.step}


def _succeeded(event: RecordedEvent, payload: dict[str, object]) -> bool:
    if event.event_type == EventType.CHILD_COMPLETED:
        return payload["status"] == ExecutionStatus.COMPLETED.value
    return event.event_type == EventType.COMMAND_COMPLETED


def _check_items(stream: MemoryStream) -> None:
    """Every item of a map has one outcome: completed or given up, unless the step itself was given up."""
    opened: dict[str, tuple[int, Counter[int]]] = {}
    slots: dict[object, Slot] = {}
    for event in stream.log:
        name, payload = event.step or "", event.payload if isinstance(event.payload, dict) else {}
        if event.event_type == EventType.MAP_OPENED:
            opened[name] = (payload["count"], Counter())
        elif event.event_type == EventType.CHILD_STARTED:
            slots[payload["execution_id"]] = Slot(name, event.item)
        elif event.event_type == EventType.MAP_CLOSED:
            total, outcomes = opened.pop(name)
            assert outcomes == Counter(range(total))
            failed = _given_up(stream, event)
            assert payload == {"completed": total - failed, "failed": failed}
        slot = _item_of(event, payload, slots)
        if slot is not None and slot.item is not None:
            opened[slot.step][1][slot.item] += 1
    for total, outcomes in opened.values():
        assert outcomes <= Counter(range(total))


def _item_of(event: RecordedEvent, payload: dict[str, object], slots: dict[object, Slot]) -> Slot | None:
    """The item that an event is the outcome of."""
    if event.event_type == EventType.CHILD_COMPLETED and payload["status"] == "completed":
        return slots[payload["execution_id"]]
    if event.event_type in {EventType.COMMAND_COMPLETED, EventType.STEP_FAILED}:
        return Slot(event.step or "", event.item)
    return None


def _given_up(stream: MemoryStream, closed: RecordedEvent) -> int:
    """How many items were given up in the map that this event closes."""
    ours = [event for event in stream.log[: closed.version - 1] if event.step == closed.step]
    opened = max(event.version for event in ours if event.event_type == EventType.MAP_OPENED)
    return len([e for e in ours if e.version > opened and e.event_type == EventType.STEP_FAILED])


def _most_events(stream: MemoryStream, step: Step, runs: int) -> int:
    """More events than one step can lead to, as often as it was visited."""
    state = stream.state.steps.get(step.name)
    visits = 1 if state is None else state.visits + 1
    assert visits <= MOST_VISITS + runs
    items = 1 if step.map is None else _most_items(stream)
    done = visits * (6 + items * (1 + _rounds(step) * _tries(step.retry) * EVENTS_A_TRY))
    undone = 0 if step.compensate is None else 3 + _tries(step.compensate.retry) * EVENTS_A_TRY
    return done + (visits if step.cycle else 1) * undone


def _rounds(step: Step) -> int:
    return 1 if step.repeat is None else step.repeat.max


def _most_items(stream: MemoryStream) -> int:
    started = stream.log[0].payload
    assert isinstance(started, dict)
    return max(1, len(started["inputs"]["items"]))


def _tries(retry: Retry) -> int:
    return retry.max_attempts * LOSSES_A_TRY
