"""An execution in memory: given a playbook, when something arrives, then these events are recorded."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson

from engine.domain.admit import Admission, CommandFact
from engine.domain.advance import replay
from engine.domain.definition import Definition
from engine.domain.effects import Effect, IssueCommand
from engine.domain.events import NewEvent, RecordedEvent, iso
from engine.domain.execution import Execution, Slot, initial
from engine.domain.snapshot import dump, encode, load
from engine.domain.vocabulary import EVENT_STATUS, EventType
from engine.language import parse
from playlog.testing.rows import Rows
from playlog.testing.stream import MemoryStream
from tests.support.anything import TOOLS
from tests.support.waiting import check_waits

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
EXECUTION_ID = 4711


def definition_of(source: str) -> Definition:
    return parse(source.encode(), tools=TOOLS).definition


@dataclass(slots=True)
class Play:
    """One execution with a clock that only tests move; deciding must ask for every value and id."""

    definition: Definition
    inputs: dict[str, object] = field(default_factory=dict)
    now: datetime = BEGINNING
    effects: list[Effect] = field(default_factory=list)
    rows: Rows = field(default_factory=Rows)
    first_id: int = 1000
    stream: MemoryStream = field(init=False)

    def __post_init__(self) -> None:
        self.stream = MemoryStream(
            execution_id=EXECUTION_ID, definition=self.definition, ids=itertools.count(self.first_id)
        )

    @property
    def state(self) -> Execution:
        return self.stream.state

    @property
    def log(self) -> list[RecordedEvent]:
        return self.stream.log

    @property
    def payloads(self) -> dict[str, object]:
        return self.stream.payloads

    @property
    def read(self) -> list[str]:
        return self.stream.read

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
        return self.stream.judge(event, self.now, self.fact(event.command_id))

    def enter(self, admission: Admission) -> list[str]:
        progress = self.stream.enter(admission, self.now)
        self.effects += progress.effects
        self.rows.apply(progress.effects)
        check_waits(self.state)
        return [event.event_type for event in progress.events]

    def complete(self, step: str, output: object = None) -> list[str]:
        return self._settle(step, EventType.COMMAND_COMPLETED, {"data": output})

    def complete_large(self, step: str, value: object, size: int | None = None) -> list[str]:
        """Complete with an output that is kept as a payload, said to be of any size."""
        said = self.stream.result_of(value, len(orjson.dumps(value)) if size is None else size)
        return self._settle(step, EventType.COMMAND_COMPLETED, said)

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
        return self.rows.commands[self.state.tried(Slot.parse(step)).command_id or 0].command

    def fact(self, command_id: int | None) -> CommandFact | None:
        """The row of a command whose lease is over, but not its time."""
        row = self.rows.commands.get(command_id or 0)
        if row is not None:
            row.leased_until, row.deadline = self.now - timedelta(seconds=1), self.now + timedelta(hours=1)
        return None if row is None else row.fact

    @property
    def commands(self) -> list[IssueCommand]:
        return [row.command for row in self.rows.commands.values()]

    @property
    def open_steps(self) -> list[str]:
        assert self.rows.open.keys() == self.state.commands.keys()
        return [str(slot) for slot in self.state.commands.values()]

    @property
    def open_timers(self) -> set[str]:
        """What the effects leave in the timer table."""
        return {key for _, key in self.rows.timers}

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
