"""A world in which anything may happen to an execution and its children, drawn from one random source."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from engine.domain.admit import Admission, Verdict
from engine.domain.definition import Definition
from engine.domain.effects import EXECUTION_TIMER, Deliver, IssueCommand
from engine.domain.events import NewEvent, iso
from engine.domain.ids import derive_id
from engine.domain.vocabulary import EVENT_STATUS, EventType
from engine.errors import Invalid
from engine.language import check_inputs
from playlog.testing.messages import cancelling
from playlog.testing.rows import LEASE_TOKEN, Rows
from playlog.testing.stream import MemoryStream
from tests.support import random_laws
from tests.support.random_playbooks import SIGNALS

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = 1
MOST_SIGNALS = 8
MOST_MOVES = 50_000
DISTURBED = 0.1
RETRIED = 0.3

Payload = dict[str, object]
Move = Callable[[], object]


class RandomWorld:
    """Executions of a family of playbooks, and every message, crash and delay that can befall them."""

    def __init__(self, rng: Random, playbooks: dict[str, Definition]) -> None:
        self.rng = rng
        self.playbooks = playbooks
        self.now = BEGINNING
        self.streams: dict[int, MemoryStream] = {}
        self.rows = Rows()
        self.sent: dict[int, int] = {}
        self.crashes = 0
        self._losing = rng.choice([0.05, 0.05, 0.5])
        self._failing = rng.choice([0.05, 0.15, 0.5])
        self._past: list[tuple[int, NewEvent]] = []
        self._snapshots: dict[int, tuple[int, dict[str, object]]] = {}
        self._ids = itertools.count(1000)
        self._signals = 0
        self._never_started: set[int] = set()

    def run(self) -> None:
        """From the start of `t/main` until it has ended and nobody has anything left to do."""
        self._start(ROOT, "t/main", {})
        for _ in range(MOST_MOVES):
            if not self._is_over():
                self._act()
            elif self.rng.random() < RETRIED:
                self._reopen(self.streams[ROOT])
            else:
                break
        for stream in self.streams.values():
            assert stream.state.is_ended, "the work is not bounded"
            random_laws.check_whole(stream, self.sent[stream.execution_id])
            random_laws.check_repeats(stream, self.rows)
        assert not self.rows.open
        assert not self.rows.timers

    def _is_over(self) -> bool:
        return not self.rows.deliveries and all(stream.state.is_ended for stream in self.streams.values())

    def _act(self) -> None:
        if self.rng.random() < DISTURBED:
            self._disturb()
            return
        moves = self._moves()
        assert moves, "nobody has the next move"
        (move,) = self.rng.choices([move for move, _ in moves], [weight for _, weight in moves])
        move()

    def _moves(self) -> list[tuple[Move, float]]:
        """What workers, the scheduler and other executions may do next, and how likely each is."""
        moves: list[tuple[Move, float]] = [
            (partial(self._work, row.command), 4) for row in self.rows.open.values() if not row.held
        ]
        moves += [(partial(self._resume, each), 0.5) for each in self.streams.values() if each.state.paused]
        for execution_id, key in self.rows.timers:
            rare = key.endswith((":deadline", EXECUTION_TIMER))
            moves.append((partial(self._fire, execution_id, key), 0.1 if rare else 2))
        return [*moves, *((partial(self._deliver, delivery), 4) for delivery in self.rows.deliveries)]

    def _disturb(self) -> None:
        """What need not happen at all."""
        running = [stream for stream in self.streams.values() if not stream.state.is_ended]
        stream = self.rng.choice(running or list(self.streams.values()))
        common = [self._signal, self._repeat, self._come_late, self._fire_stale, self._claim, self._note]
        rare = [self._cancel, self._pass_deadline, self._pause, self._resume]
        self.rng.choice(common if self.rng.random() < 0.85 else rare)(stream)

    def _repeat(self, _: MemoryStream) -> None:
        if self._past:
            self._send(*self.rng.choice(self._past))

    def _come_late(self, _: MemoryStream) -> None:
        if self.rows.commands:
            self._settle(self.rng.choice(list(self.rows.commands.values())).command)

    def _fire_stale(self, stream: MemoryStream) -> None:
        key = self.rng.choice([*stream.state.timers, EXECUTION_TIMER, "s0:wait", "s1:deadline", "s2:retry"])
        self._send(stream.execution_id, event(EventType.TIMER_FIRED, {"timer": key}))

    def _claim(self, stream: MemoryStream) -> None:
        if stream.state.commands:
            command_id = self.rng.choice(list(stream.state.commands))
            self._send(stream.execution_id, event(EventType.COMMAND_CLAIMED, {}, command_id=command_id))

    def _note(self, stream: MemoryStream) -> None:
        self._send(stream.execution_id, event("order.noted", {"data": 1}))

    def _cancel(self, stream: MemoryStream) -> None:
        kind, payload = cancelling("enough", compensate=self.rng.random() < 0.5)
        self._send(stream.execution_id, event(kind, payload))

    def _pause(self, stream: MemoryStream) -> None:
        self._send(stream.execution_id, event(EventType.EXECUTION_PAUSED, {}))

    def _resume(self, stream: MemoryStream) -> None:
        self._send(stream.execution_id, event(EventType.EXECUTION_RESUMED, {}))

    def _reopen(self, stream: MemoryStream) -> None:
        """An operator retries what has ended; refused unless it failed, timed out or was cancelled."""
        deadline = iso(self.now + timedelta(seconds=stream.definition.deadline))
        event_id = derive_id("reopen", next(self._ids))
        self._send(
            stream.execution_id,
            event(EventType.EXECUTION_REOPENED, {"deadline": deadline}, event_id=event_id),
        )

    def _pass_deadline(self, stream: MemoryStream) -> None:
        if stream.state.deadline is not None:
            self.now = max(self.now, stream.state.deadline)
            self._fire(stream.execution_id, EXECUTION_TIMER)

    def _work(self, command: IssueCommand) -> None:
        """A worker does something with an open command."""
        self.now = max(self.now, command.available_at)
        chance = self.rng.random()
        if chance < self._losing:
            self._expire(command, lost=self.rng.random() < 0.8)
        elif chance < self._losing + 0.05:
            claim = event(EventType.COMMAND_CLAIMED, {}, command_id=command.command_id)
            self._send(command.execution_id, claim)
        else:
            self._settle(command)

    def _settle(self, command: IssueCommand) -> None:
        stream = self.streams[command.execution_id]
        kind = EventType.COMMAND_COMPLETED if self.rng.random() > self._failing else EventType.COMMAND_FAILED
        said: Payload = {"data": self._error()}
        if kind is EventType.COMMAND_COMPLETED:
            size = self.rng.choice([None, None, None, 1_000, 10**6])
            said = stream.result_of(self._output(), size)
        self._send(
            command.execution_id,
            event(
                kind, {"status": EVENT_STATUS[kind], **said}, command_id=command.command_id, lease=LEASE_TOKEN
            ),
        )

    def _output(self) -> object:
        output = {"again": self.rng.random() < 0.4, "n": self.rng.randint(0, 3)}
        return self.rng.choice([output, output, output, output, None, [output], "text"])

    def _error(self) -> Payload:
        return {"code": self.rng.choice(["boom", "bang", "validation"]), "message": "it went wrong"}

    def _expire(self, command: IssueCommand, *, lost: bool) -> None:
        row = self.rows.commands[command.command_id]
        row.leased_until = self.now
        row.deadline = self.now + timedelta(seconds=command.timeout if lost else 0)
        expired = event(EventType.COMMAND_EXPIRED, None, command_id=command.command_id)
        self._send(command.execution_id, expired)

    def _fire(self, execution_id: int, key: str) -> None:
        due_at = self.rows.timers.get((execution_id, key))
        self.now = self.now if due_at is None else max(self.now, due_at)
        self._send(execution_id, event(EventType.TIMER_FIRED, {"timer": key}))

    def _signal(self, stream: MemoryStream) -> None:
        if self._signals == MOST_SIGNALS:
            return
        self._signals += 1
        said: Payload = {"name": self.rng.choice(SIGNALS), "data": {"again": self.rng.random() < 0.4}}
        event_id = derive_id("signal", next(self._ids))
        self._send(stream.execution_id, event(EventType.SIGNAL_RECEIVED, said, event_id=event_id))

    def _deliver(self, delivery: Deliver) -> None:
        """Carry a delivery out; now and then its row stays, as after a crash before the commit was known."""
        known = delivery.target in self.streams or delivery.target in self._never_started
        if (known or delivery.kind == "start") and self.rng.random() < 0.9:
            self.rows.deliveries.remove(delivery)
        said = delivery.payload
        match delivery.kind:
            case "start":
                self._start_child(delivery)
            case "cancel":
                kind, payload = cancelling("parent ended", compensate=said["compensate"] is True)
                self._send(delivery.target, event(kind, payload, event_id=delivery.event_id))
            case _:
                ended = event(EventType.CHILD_COMPLETED, said, event_id=delivery.event_id, **_place(said))
                self._send(delivery.target, ended)

    def _start_child(self, delivery: Deliver) -> None:
        asked, said = delivery.payload, delivery.payload["parent"]
        assert isinstance(said, dict)
        try:
            given = asked["inputs"]
            assert isinstance(given, dict)
            self._start(delivery.target, str(asked["playbook"]), given, said)
        except (Invalid, KeyError):
            self._never_started.add(delivery.target)
            error = {"code": "child_failed", "message": "it cannot be started"}
            ended: Payload = {"execution_id": str(delivery.target), "status": "failed", "error": error}
            event_id = derive_id("child_ended", delivery.target)
            told = event(EventType.CHILD_COMPLETED, ended, event_id=event_id, **_place(said))
            self._send(int(said["execution_id"]), told)

    def _start(self, execution_id: int, path: str, given: Payload, parent: object = None) -> None:
        definition = self.playbooks[path]
        started: Payload = {
            "playbook": path,
            "playbook_version": 1,
            "inputs": check_inputs(definition, given),
            "deadline": iso(self.now + timedelta(seconds=definition.deadline)),
        }
        if parent is not None:
            started["parent"] = parent
        if execution_id not in self.streams:
            self.streams[execution_id] = MemoryStream(
                execution_id=execution_id, definition=definition, ids=self._ids, others=self.streams
            )
            self.sent[execution_id] = 0
        event_id = derive_id("started", execution_id)
        self._send(execution_id, event(EventType.EXECUTION_STARTED, started, event_id=event_id))

    def _send(self, execution_id: int, sent: NewEvent) -> Admission:
        """One append: judged, recorded, decided, written; the laws that hold after each are checked."""
        stream = self.streams.get(execution_id)
        if stream is None:
            return Admission(Verdict.REJECTED, code="unknown_execution")
        # The longer a log, the longer it takes to fold it again.
        if self.rng.random() < 0.15 * min(1, 100 / (1 + len(stream.log))):
            self._crash(stream)
        row = self.rows.commands.get(sent.command_id or 0)
        admission = stream.judge(sent, self.now, None if row is None else row.fact)
        progress = stream.enter(admission, self.now)
        if sent.event_type not in {EventType.CHILD_COMPLETED, EventType.TIMER_FIRED}:
            self.sent[execution_id] += len(progress.events) > 0
        self.rows.apply(progress.effects)
        if len(self._past) < 100:
            self._past.append((execution_id, sent))
        random_laws.check_state(stream, self.rows, self.streams)
        random_laws.check_wanted(self.rows, self.streams)
        return admission

    def _crash(self, stream: MemoryStream) -> None:
        """Throw the state away and fold it again, from a snapshot or from the beginning."""
        self.crashes += 1
        stream.state = random_laws.refolded(stream, self.rng.randint(0, len(stream.log)))


def _place(said: Payload) -> dict[str, Any]:
    """The step, and the item of its map, that a message is about."""
    return {"step": said["step"], "item": said.get("item")}


def event(kind: EventType | str, payload: object, *, lease: int | None = None, **more: Any) -> NewEvent:
    """An event as the engine's functions send it."""
    return NewEvent(
        event_type=str(kind),
        status=EVENT_STATUS[kind] if isinstance(kind, EventType) else "RUNNING",
        payload=payload,
        lease_token=lease,
        **more,
    )
