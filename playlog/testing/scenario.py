"""The beginning of a test: a playbook and its inputs, what its tools give, and what befalls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from engine.domain.definition import Definition
from engine.domain.vocabulary import EventType
from engine.errors import Invalid
from engine.language import parse
from playlog.testing import missing
from playlog.testing.messages import as_json, cancelling
from playlog.testing.results import Result, Script, seconds_of
from playlog.testing.run import Run
from playlog.testing.world import ROOT, Registered, World

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)

Duration = str | timedelta
Befall = tuple[float, Callable[[World], object]]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Scenario:
    """A playbook that can be run; every `with_...` gives a new scenario and leaves this one as it is."""

    playbook: Registered
    inputs: Mapping[str, object]
    registered: Mapping[str, tuple[Registered, ...]] = field(default_factory=dict)
    befalls: tuple[Befall, ...] = ()
    began: datetime = BEGINNING
    observe: Callable[[Run], object] | None = None

    def __repr__(self) -> str:
        return f"<scenario of {self.playbook.definition.path}>"

    def with_results(self, **results: Result) -> Scenario:
        """Say what the tools of steps give, by step name.

        A value; a function of the `Call`; `fail`, `lose` or `takes`; a list with one of these among its
        elements, or `in_turn`, for one result an attempt. Raises `Unknown` for a name that is no step.
        """
        return replace(self, playbook=_scripted(self.playbook, results, {}))

    def with_compensations(self, **results: Result) -> Scenario:
        """Say what the calls give that undo steps, by step name, as `with_results` does."""
        return replace(self, playbook=_scripted(self.playbook, {}, results))

    def with_playbook(self, playbook: str | Path, /, **results: Result) -> Scenario:
        """Register a playbook that may be started as a child, and what its tools give.

        Registered again, the same path has one more version.
        """
        child = _scripted(Registered(definition_of(playbook)), results, {})
        path = child.definition.path
        return replace(self, registered={**self.registered, path: (*self.registered.get(path, ()), child)})

    def with_signal(self, name: str, data: object = None, *, after: Duration = "0s") -> Scenario:
        """Send a signal so long after the start; at `0s` it comes before any tool was called.

        Raises `Unknown` when the playbook waits for no such signal.
        """
        missing.check_signal([self.playbook.definition], name)
        said = {"name": name, "data": as_json(data, f"the signal {name}")}
        return self._befalls(after, partial(_ask, kind=EventType.SIGNAL_RECEIVED, payload=said))

    def with_cancel(
        self, *, after: Duration, reason: str | None = None, compensate: bool = False
    ) -> Scenario:
        """Cancel the execution so long after the start, at once or after undoing what it has done."""
        kind, payload = cancelling(reason, compensate=compensate)
        return self._befalls(after, partial(_ask, kind=kind, payload=payload))

    def with_pause(self, *, after: Duration) -> Scenario:
        """Hand out no more commands from then on; what is being worked on and timers go on."""
        return self._befalls(after, partial(_ask, kind=EventType.EXECUTION_PAUSED, payload={}))

    def with_resume(self, *, after: Duration) -> Scenario:
        """Hand out what a pause has held back."""
        return self._befalls(after, partial(_ask, kind=EventType.EXECUTION_RESUMED, payload={}))

    def with_start(self, moment: datetime | str) -> Scenario:
        """Start at this moment (with an offset) instead of at the beginning of 2026 in UTC."""
        began = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return replace(self, began=began.astimezone(UTC))

    def run(self, *, until: Duration | None = None) -> Run:
        """Run to the end, or for so long, in virtual time.

        Raises `Unscripted` for a tool without a result, `Stuck` when nobody moves it any more, and `Invalid`
        for inputs against the playbook.
        """
        path = self.playbook.definition.path
        world = World({**self.registered, path: (self.playbook,)}, self.began)
        for seconds, befall in self.befalls:
            world.after(seconds, partial(befall, world))
        world.start(path, self.inputs)
        run = Run(world)
        if self.observe is not None:
            self.observe(run)
        world.run(None if until is None else self.began + timedelta(seconds=seconds_of(until)))
        return run

    def _befalls(self, after: Duration, action: Callable[[World], object]) -> Scenario:
        return replace(self, befalls=(*self.befalls, (seconds_of(after), action)))


def given(playbook: str | Path, /, **inputs: object) -> Scenario:
    """A playbook, by the path of its file or as source, and the inputs of its execution.

    A text with a line break or a brace is a source. Raises `Invalid` with every fault of a broken playbook
    as a note.
    """
    return Scenario(playbook=Registered(definition_of(playbook)), inputs=inputs)


def definition_of(playbook: str | Path) -> Definition:
    """Read and compile a playbook; raises `Invalid`, and `OSError` for a file that cannot be read."""
    is_source = isinstance(playbook, str) and ("\n" in playbook or "{" in playbook)
    source = str(playbook).encode() if is_source else Path(playbook).read_bytes()
    try:
        return parse(source, "playbook.yaml" if is_source else str(playbook)).definition
    except Invalid as error:
        for fault in error.data.get("faults", ()):
            error.add_note(fault["text"])
        raise


def _scripted(
    playbook: Registered, results: Mapping[str, object], undoings: Mapping[str, object]
) -> Registered:
    missing.check_steps(playbook.definition, results)
    missing.check_undoings(playbook.definition, undoings)
    script = playbook.script
    return replace(
        playbook,
        script=Script({**script.results, **results}, {**script.undoings, **undoings}),
    )


def _ask(world: World, *, kind: EventType, payload: object) -> None:
    world.ask(ROOT, kind, payload)
