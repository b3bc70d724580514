"""Executions that run by themselves: scripted workers, messages between executions, a clock that jumps."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from engine.domain.decision import expression_error
from engine.domain.definition import DEFAULT_DEADLINE, Definition
from engine.domain.effects import (
    EXECUTION_TIMER,
    Deliver,
    Effect,
    IssueCommand,
    ReleaseCommands,
    SetTimer,
)
from engine.domain.events import NewEvent
from engine.domain.execution import Slot
from engine.domain.expression import ExpressionFailed
from engine.domain.vocabulary import EVENT_STATUS, EventType
from engine.errors import Invalid
from playlog.testing import calls, messages, missing
from playlog.testing.errors import Stuck
from playlog.testing.results import Call, Failure, Lasting, Loss, Script, fail
from playlog.testing.rows import LEASE_TOKEN, CommandRow, Rows
from playlog.testing.story import told
from playlog.testing.stream import MemoryStream

ROOT = 1
LEASE_SECONDS = 30.0
CLAIMED_AFTER = 5.0
"""An attempt that takes longer is recorded as claimed, as workers do."""

NOTHING_TO_DO = "noop"


@dataclass(frozen=True, slots=True)
class Registered:
    """A playbook and what its tools give."""

    definition: Definition
    script: Script = field(default_factory=Script)


class World:
    """One execution and its children in virtual time: whatever is due next happens next, at once.

    What is due at the same moment happens in the order in which it was asked for.
    """

    def __init__(self, playbooks: Mapping[str, Sequence[Registered]], began: datetime) -> None:
        self.now = self.began = began
        self.rows = Rows()
        self.streams: dict[int, MemoryStream] = {}
        self.calls: dict[int, list[Call]] = {}
        self._playbooks = playbooks
        self._scripts: dict[int, Script] = {}
        self._ids = itertools.count(ROOT)
        self._order = itertools.count()
        self._due: list[tuple[datetime, int, Callable[[], object]]] = []

    @property
    def root(self) -> MemoryStream:
        """The execution that was started from outside."""
        return self.streams[ROOT]

    def start(self, playbook: str, inputs: Mapping[str, object]) -> None:
        """Start the first execution; raises `Invalid` for inputs against the playbook."""
        self._start(next(self._ids), self._playbooks[playbook][-1], 1, inputs)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something so many seconds from now."""
        heapq.heappush(self._due, (self.now + timedelta(seconds=seconds), next(self._order), action))

    def run(self, until: datetime | None = None) -> None:
        """Let everything happen until the first execution has ended, or until a moment.

        Raises `Stuck` when it would never end, and `Unscripted`.
        """
        while self._due and (self._due[0][0] <= self.now or not self.root.state.is_ended):
            if until is not None and self._due[0][0] > until:
                self.now = until
                return
            moment, _, action = heapq.heappop(self._due)
            self.now = max(self.now, moment)
            action()

    def send(
        self,
        execution_id: int,
        kind: EventType,
        payload: object,
        *,
        row: CommandRow | None = None,
        step: str | None = None,
        item: int | None = None,
    ) -> None:
        """Append one event of the engine to an execution, with everything that is decided from it."""
        stream = self.streams[execution_id]
        event = NewEvent(
            event_type=kind.value,
            status=EVENT_STATUS[kind],
            payload=payload,
            command_id=None if row is None else row.command.command_id,
            lease_token=None if row is None else LEASE_TOKEN,
            step=step,
            item=item,
        )
        admission = stream.judge(event, self.now, None if row is None else row.fact)
        if admission.code:
            raise AssertionError(f"{kind} is refused: {admission.detail}\n{told(stream, self.began)}")
        self._follow(stream.enter(admission, self.now).effects)

    def ask(self, execution_id: int, kind: EventType, payload: object) -> None:
        """Send what an operator or another execution asks for, unless the execution has gone too far."""
        state = self.streams[execution_id].state
        if not state.is_ended and state.ending is None:
            self.send(execution_id, kind, payload)

    def _follow(self, effects: Iterable[Effect]) -> None:
        effects = list(effects)
        self.rows.apply(effects)
        for effect in effects:
            match effect:
                case IssueCommand():
                    self._offer(self.rows.commands[effect.command_id])
                case SetTimer(execution_id, key, due_at):
                    self._at(due_at, partial(self._fire, execution_id, key, due_at))
                case ReleaseCommands(execution_id):
                    for row in self.rows.open.values():
                        if row.command.execution_id == execution_id and row.deadline is None:
                            self._offer(row)
                case Deliver():
                    self._at(self.now, partial(self._deliver, effect))
                case _:
                    pass

    def _at(self, moment: datetime, action: Callable[[], object]) -> None:
        heapq.heappush(self._due, (moment, next(self._order), action))

    def _offer(self, row: CommandRow) -> None:
        self._at(max(self.now, row.command.available_at), partial(self._work, row))

    def _work(self, row: CommandRow) -> None:
        """A worker claims a command and does what the script says."""
        command = row.command
        if command.command_id not in self.rows.open or row.held or row.deadline is not None:
            return
        stream = self.streams[command.execution_id]
        seconds, result = self._attempt(stream, command)
        row.deadline = self.now + timedelta(seconds=command.timeout)
        if seconds > CLAIMED_AFTER:
            self.after(CLAIMED_AFTER, partial(self._claim, row))
        if isinstance(result, Loss):
            row.leased_until = self.now + timedelta(seconds=LEASE_SECONDS)
            row.deadline += timedelta(seconds=LEASE_SECONDS)
            self._at(row.leased_until, partial(self._expire, row))
        elif seconds >= command.timeout:
            row.leased_until = row.deadline
            self._at(row.leased_until, partial(self._expire, row))
        else:
            self.after(seconds, partial(self._settle, row, result))

    def _attempt(self, stream: MemoryStream, command: IssueCommand) -> tuple[float, object]:
        try:
            call = calls.of_command(stream, command, self.now - self.began)
        except ExpressionFailed as failed:
            return 0.0, Failure(expression_error(failed))
        return self._answer(stream, command.tool, call)

    def _answer(self, stream: MemoryStream, tool: str, call: Call) -> tuple[float, object]:
        """The seconds that an attempt takes and what comes of it."""
        script = self._scripts[stream.execution_id]
        self.calls[stream.execution_id].append(call)
        if not script.has(call.step, undoing=call.undoing):
            if tool == NOTHING_TO_DO:
                return 0.0, None
            raise missing.result(stream.definition, script, tool, call)
        result = script.answer(call)
        seconds = 0.0
        if isinstance(result, Lasting):
            seconds, result = result.seconds, result.result
        return seconds, result

    def _claim(self, row: CommandRow) -> None:
        if row.command.command_id in self.rows.open:
            self.send(row.command.execution_id, EventType.COMMAND_CLAIMED, {}, row=row)

    def _expire(self, row: CommandRow) -> None:
        self.send(row.command.execution_id, EventType.COMMAND_EXPIRED, None, row=row)

    def _settle(self, row: CommandRow, result: object) -> None:
        if row.command.command_id not in self.rows.open:
            return
        stream = self.streams[row.command.execution_id]
        if not isinstance(result, Failure):
            result = messages.as_json(result, row.command.step)
        kind, said = EventType.COMMAND_FAILED, dict[str, object]()
        if isinstance(result, Failure):
            said = {"data": dict(result.error)}
        else:
            kind, said = EventType.COMMAND_COMPLETED, stream.result_of(result)
        self.send(stream.execution_id, kind, {"status": EVENT_STATUS[kind], **said}, row=row)

    def _fire(self, execution_id: int, key: str, due_at: datetime) -> None:
        """Fire a timer, unless it was dropped or set anew."""
        if self.rows.timers.get((execution_id, key)) == due_at:
            self.send(execution_id, EventType.TIMER_FIRED, {"timer": key})

    def _pass_deadline(self, stream: MemoryStream) -> None:
        if stream.state.is_ended or stream.state.deadline != self.now:
            return
        if stream.definition.deadline == DEFAULT_DEADLINE and not (self.rows.open.keys() - self._held()):
            waits = {key for execution_id, key in self.rows.timers if execution_id == stream.execution_id}
            if waits <= {EXECUTION_TIMER} and not stream.state.children:
                raise Stuck(missing.stuck(stream, self.began))
        self.send(stream.execution_id, EventType.TIMER_FIRED, {"timer": EXECUTION_TIMER})

    def _held(self) -> set[int]:
        return {command_id for command_id, row in self.rows.open.items() if row.held}

    def _deliver(self, delivery: Deliver) -> None:
        """Carry out what one execution has to say to another."""
        said = delivery.payload
        match delivery.kind:
            case "start":
                self._start_child(delivery)
            case "cancel" if delivery.target in self.streams:
                self.ask(
                    delivery.target,
                    *messages.cancelling("parent ended", compensate=said["compensate"] is True),
                )
            case "child_ended":
                item = said.get("item")
                item = item if isinstance(item, int) else None
                self.send(delivery.target, EventType.CHILD_COMPLETED, said, step=str(said["step"]), item=item)
            case _:
                pass

    def _start_child(self, delivery: Deliver) -> None:
        asked, parent = delivery.payload, delivery.payload["parent"]
        if not isinstance(parent, dict):
            raise TypeError("a start names its parent")
        stream = self.streams[int(parent["execution_id"])]
        slot = stream.state.children.get(delivery.target)
        if slot is None:
            return
        call = calls.of_child(stream, slot, asked, self.now - self.began)
        if self._scripts[stream.execution_id].has(slot.step, undoing=slot.undoing):
            seconds, result = self._answer(stream, "playbook", call)
            limit = asked.get("deadline_seconds")
            if isinstance(limit, int | float) and seconds > limit:
                seconds, result = limit, fail("child_timed_out", f"the child takes longer than {limit:g} s")
            self.after(seconds, partial(self._end_child, stream, slot, delivery.target, result))
            return
        path, inputs, version = str(asked["playbook"]), asked["inputs"], asked["version"]
        found = self._playbooks.get(path, ())
        number = version if isinstance(version, int) else len(found)
        if not 0 < number <= len(found):
            raise missing.playbook(stream.definition, slot, path, version, self._playbooks)
        self.calls[stream.execution_id].append(call)
        try:
            given = inputs if isinstance(inputs, dict) else {}
            self._start(delivery.target, found[number - 1], number, given, delivery.payload)
        except Invalid as error:
            cause = {"code": error.code, "message": error.detail}
            self._end_child(stream, slot, delivery.target, Failure(cause))

    def _end_child(self, stream: MemoryStream, slot: Slot, child_id: int, result: object) -> None:
        if child_id not in stream.state.children:
            return
        said = messages.child_ended(child_id, slot.step, result)
        self.send(stream.execution_id, EventType.CHILD_COMPLETED, said, step=slot.step, item=slot.item)

    def _start(
        self,
        execution_id: int,
        playbook: Registered,
        version: int,
        inputs: Mapping[str, object],
        asked: Mapping[str, object] | None = None,
    ) -> None:
        definition, asked = playbook.definition, asked or {}
        deadline = self.now + timedelta(seconds=definition.deadline_within(asked.get("deadline_seconds")))
        said = messages.started(definition, version, inputs, deadline, asked.get("parent"))
        stream = MemoryStream(
            execution_id=execution_id, definition=definition, ids=self._ids, others=self.streams
        )
        self.streams[execution_id] = stream
        self.calls[execution_id] = []
        self._scripts[execution_id] = playbook.script
        self._at(deadline, partial(self._pass_deadline, stream))
        self.send(execution_id, EventType.EXECUTION_STARTED, said)
