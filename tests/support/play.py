"""An execution in memory: given a playbook, when something arrives, then these events are recorded."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import orjson

from engine.domain.admit import Admission, CommandFact, Origin, admit
from engine.domain.advance import Progress, advance, record, replay
from engine.domain.definition import Definition
from engine.domain.effects import CloseCommand, DropTimer, Effect, IssueCommand, SetTimer
from engine.domain.events import NewEvent, RecordedEvent, iso
from engine.domain.execution import Execution, Slot, initial
from engine.domain.handles import PayloadKey, held_value, parse_map_uri
from engine.domain.map_output import gather
from engine.domain.scope import Lacking, Supply
from engine.domain.snapshot import dump, encode, load
from engine.domain.vocabulary import EVENT_STATUS, EventType
from engine.language import parse
from tests.support.anything import TOOLS

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
EXECUTION_ID = 4711


def definition_of(source: str) -> Definition:
    return parse(source.encode(), tools=TOOLS).definition


@dataclass(slots=True)
class Play:
    """One execution with a virtual clock; values and ids are forgotten, so that deciding must ask."""

    definition: Definition
    inputs: dict[str, object] = field(default_factory=dict)
    now: datetime = BEGINNING
    log: list[RecordedEvent] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    state: Execution = field(init=False)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1000))
    payloads: dict[str, object] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = initial(EXECUTION_ID, self.definition.hash)

    def start(self, **payload: object) -> list[str]:
        started = {"playbook": self.definition.path, "playbook_version": 1, "inputs": self.inputs, **payload}
        return self.send(EventType.EXECUTION_STARTED, started)

    def send(self, kind: EventType | str, payload: object = None, **more: object) -> list[str]:
        """Admit an event of the engine; returns the types of all events that were recorded for it."""
        admission = self.admit(kind, payload, **more)
        assert admission.event is not None, admission
        return self.enter(admission)

    def admit(self, kind: EventType | str, payload: object = None, **more: object) -> Admission:
        status = EVENT_STATUS[kind] if isinstance(kind, EventType) else "RUNNING"
        event = NewEvent(event_type=str(kind), status=status, payload=payload, **more)  # type: ignore[arg-type]
        fact = None if event.command_id is None else self.fact(event.command_id)
        return admit(self.state, event, Origin.ENGINE, self.now, fact)

    def enter(self, admission: Admission) -> list[str]:
        before = len(self.log)
        progress = Progress()
        supply = Supply(now=self.now, ids=deque())
        if admission.event is not None:
            record(self.state, admission.event, supply, progress)
        self._advance(supply, progress)
        self.effects += [*admission.effects, *progress.effects]
        self.log += progress.events
        return self.types[before:]

    def _advance(self, supply: Supply, progress: Progress) -> None:
        supply.values.clear()
        while True:
            try:
                advance(self.state, self.definition, supply, progress)
            except Lacking as lacking:
                events = {event.version: event for event in (*self.log, *progress.events)}
                supply.values |= {version: _carried(events[version]) for version in lacking.versions}
                supply.payloads |= {uri: self._payload(uri, events.values()) for uri in lacking.payloads}
                self.read += lacking.payloads
                supply.ids.extend(next(self.ids) for _ in range(lacking.ids))
            else:
                return

    def _payload(self, uri: str, events: Iterable[RecordedEvent]) -> object:
        key = parse_map_uri(uri)
        if key is None:
            return self.payloads[uri]
        found = self.state.steps[key.step].map
        assert found is not None
        return gather(key, found.total, events)

    def complete(self, step: str, output: object = None) -> list[str]:
        return self._settle(step, EventType.COMMAND_COMPLETED, {"data": output})

    def complete_large(self, step: str, value: object, size: int | None = None) -> list[str]:
        """Complete with an output that is kept as a payload, said to be of any size."""
        body = orjson.dumps(value)
        key = PayloadKey(EXECUTION_ID, sha256(body).digest())
        self.payloads[key.uri] = value
        reference = {"kind": "ref", "uri": key.uri, "bytes": len(body) if size is None else size}
        return self._settle(step, EventType.COMMAND_COMPLETED, {"reference": reference})

    def fail(self, step: str, code: str = "boom", **more: object) -> list[str]:
        return self._settle(step, EventType.COMMAND_FAILED, {"data": {"code": code, "message": code, **more}})

    def lose(self, step: str) -> list[str]:
        """The worker's lease runs out before the attempt's deadline."""
        return self.send(EventType.COMMAND_EXPIRED, command_id=self.open_command(step).command_id)

    def end_child(self, step: str, status: str = "completed") -> list[str]:
        """The child of a step has told that it ended."""
        slot = Slot.parse(step)
        child_id = self.state.tried(slot).child_id
        said: dict[str, object] = {"execution_id": str(child_id), "step": slot.step, "status": status}
        said |= {"output": 1} if status == "completed" else {"error": {"code": f"child_{status}"}}
        return self.send(EventType.CHILD_COMPLETED, said, step=slot.step, item=slot.item)

    def signal(self, name: str, data: object = None) -> list[str]:
        return self.send(EventType.SIGNAL_RECEIVED, {"name": name, "data": data})

    def cancel(self, reason: str | None = None, *, compensate: bool = False) -> list[str]:
        if compensate:
            return self.send(EventType.EXECUTION_CANCELLING, {"outcome": "cancelled", "reason": reason})
        return self.send(EventType.EXECUTION_CANCELLED, {"reason": reason})

    def pause(self) -> list[str]:
        return self.send(EventType.EXECUTION_PAUSED)

    def resume(self) -> list[str]:
        return self.send(EventType.EXECUTION_RESUMED)

    def reopen(self, seconds: float = 3600.0) -> list[str]:
        return self.send(
            EventType.EXECUTION_REOPENED, {"deadline": iso(self.now + timedelta(seconds=seconds))}
        )

    def fire(self, key: str) -> list[str]:
        """Let the clock reach a timer and deliver it."""
        due = self.state.deadline if key == "execution" else self.state.timers[key]
        assert due is not None
        self.now = max(self.now, due)
        return self.send(EventType.TIMER_FIRED, {"timer": key})

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def _settle(self, step: str, kind: EventType, said: dict[str, object]) -> list[str]:
        command = self.open_command(step)
        payload = {"status": EVENT_STATUS[kind], **said}
        return self.send(kind, payload, command_id=command.command_id, lease_token=1)

    def open_command(self, step: str) -> IssueCommand:
        command_id = self.state.tried(Slot.parse(step)).command_id
        return next(command for command in self.commands if command.command_id == command_id)

    def fact(self, command_id: int) -> CommandFact | None:
        for command in self.commands:
            if command.command_id == command_id:
                over = self.now - timedelta(seconds=1)
                return CommandFact(
                    execution_id=EXECUTION_ID,
                    step=command.step,
                    attempt=command.attempt,
                    item=command.item,
                    lease_token=1,
                    leased_until=over,
                    deadline=self.now + timedelta(hours=1),
                )
        return None

    @property
    def commands(self) -> list[IssueCommand]:
        return [effect for effect in self.effects if isinstance(effect, IssueCommand)]

    @property
    def open_steps(self) -> list[str]:
        closed = {effect.command_id for effect in self.effects if isinstance(effect, CloseCommand)}
        open_ids = {command.command_id for command in self.commands} - closed
        assert open_ids == self.state.commands.keys()
        return [str(slot) for slot in self.state.commands.values()]

    @property
    def open_timers(self) -> set[str]:
        """What the effects leave in the timer table."""
        rows: set[str] = set()
        for effect in self.effects:
            if isinstance(effect, SetTimer):
                rows.add(effect.key)
            elif isinstance(effect, DropTimer):
                rows.discard(effect.key)
        return rows

    @property
    def types(self) -> list[str]:
        return [event.event_type for event in self.log]

    @property
    def output(self) -> object:
        last = self.log[-1]
        assert last.event_type == EventType.EXECUTION_COMPLETED, last
        assert isinstance(last.payload, dict)
        return last.payload["output"]

    @property
    def error(self) -> dict[str, object]:
        payload = self.log[-1].payload
        assert isinstance(payload, dict), self.log[-1]
        error: dict[str, object] = payload["error"]
        return error

    def check_replay(self) -> None:
        """The laws that hold for every log: replaying it, whole or in two parts, gives the same state."""
        whole = replay(initial(EXECUTION_ID, self.definition.hash), self.log)
        assert dump(whole) == dump(self.state)
        for cut in range(len(self.log) + 1):
            prefix = replay(initial(EXECUTION_ID, self.definition.hash), self.log[:cut])
            assert dump(load(dump(prefix))) == dump(prefix)
            assert encode(replay(load(dump(prefix)), self.log[cut:])) == encode(self.state)


def given(source: str, **inputs: object) -> Play:
    """A playbook that has been started with these inputs."""
    play = Play(definition_of(source), dict(inputs))
    play.start()
    return play


def _carried(event: RecordedEvent) -> object:
    return held_value(event.event_type, event.payload)
