"""Laws of every execution, whatever the playbook and whatever happens to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from engine.domain.admit import Admission, Origin, Verdict, admit_foreign
from engine.domain.definition import Definition
from engine.domain.events import NewEvent
from engine.domain.evolve import fold
from engine.domain.execution import initial
from engine.domain.snapshot import encode, state_hash
from engine.domain.vocabulary import ACTIVE_STEPS, TERMINAL_EVENTS
from tests.support.play import EXECUTION_ID, Play, definition_of

STEPS = ("s0", "s1", "s2", "s3", "s4", "s5")
Action = Callable[[Play], object]


@st.composite
def playbooks(draw: st.DrawFn) -> Definition:
    """Steps in order, with guards, retries, waits, parallel roots, joins and routes between them."""
    count = draw(st.integers(1, len(STEPS)))
    lines = ["playbook: t/law", "inputs: {flag: {type: boolean, default: true}}", "steps:"]
    lines += [draw(step(place)) for place in range(count)]
    return definition_of("\n".join(lines))


@st.composite
def step(draw: st.DrawFn, place: int) -> str:
    parts = [f"name: {STEPS[place]}"]
    kind = draw(st.sampled_from(["noop", "noop", "retry", "signal", "signal", "moment", "child"]))
    if kind == "signal":
        timeout = draw(st.sampled_from(["", ", on_timeout: skip"]))
        parts.append(f"wait: {{event: go, timeout: 1h{timeout}}}")
    elif kind == "moment":
        parts.append("wait: {for: 5m}")
    elif kind == "child":
        parts.append("tool: playbook, with: {playbook: t/other}")
        parts.append("retry: {max_attempts: 2, delay: 5s}")
    else:
        parts.append("tool: noop")
        if kind == "retry":
            parts.append("retry: {max_attempts: 3, delay: 1s, jitter: 0.5}")
    if draw(st.booleans()):
        parts.append(f'when: "{draw(st.sampled_from(["inputs.flag", "!inputs.flag"]))}"')
    if place and draw(st.booleans()):
        needed = draw(st.lists(st.sampled_from(STEPS[:place]), unique=True, max_size=3))
        parts.append(f"needs: [{', '.join(needed)}]")
        parts.append(f"join: {draw(st.sampled_from(['all', 'any']))}")
    return "  - {" + ", ".join(parts) + "}"


def actions(play: Play) -> list[Action]:
    """Everything that the world may do now."""
    possible: list[Action] = []
    for name in play.open_steps:
        possible += [
            partial(Play.complete, step=name, output={"x": 1}),
            partial(Play.complete, step=name),
            partial(Play.complete_large, step=name, value={"x": 1}),
            partial(Play.fail, step=name),
            partial(Play.lose, step=name),
        ]
    possible += [partial(Play.fire, key=key) for key in play.state.timers]
    for name in map(str, play.state.children.values()):
        possible += [partial(Play.end_child, step=name), partial(Play.end_child, step=name, status="failed")]
    return possible


def run(play: Play, data: st.DataObject) -> None:
    for _ in range(200):
        if play.state.is_ended:
            return
        possible = actions(play)
        assert possible, f"nobody has the next move: {play.types}"
        chance = data.draw(st.integers(0, 19))
        if chance == 0:
            possible = [lambda play: play.cancel("enough")]
        elif chance < 5 and play.types.count("signal.received") < len(STEPS):
            possible = [lambda play: play.signal("go")]
        data.draw(st.sampled_from(possible))(play)
    raise AssertionError("the work is not bounded")


@settings(max_examples=150, deadline=None)
@for_all(playbooks(), st.booleans(), st.data())
def test_every_execution_ends_once_and_its_log_replays_to_the_same_state(
    definition: Definition, flag: object, data: st.DataObject
) -> None:
    play = Play(definition, {"flag": flag})
    play.start()
    run(play, data)
    terminal = [event for event in play.log if event.event_type in set(TERMINAL_EVENTS)]
    assert terminal == [play.log[-1]]
    assert [event.version for event in play.log] == list(range(1, len(play.log) + 1))
    assert len({event.event_id for event in play.log}) == len(play.log)
    assert play.open_steps == []
    assert not any(step.status in ACTIVE_STEPS for step in play.state.steps.values())
    assert (play.state.active, play.state.waiting) == (0, 0)
    assert play.open_timers == set()
    play.check_replay()


@settings(max_examples=60, deadline=None)
@for_all(playbooks(), st.data())
def test_what_is_recorded_asks_for_nothing_when_it_is_folded_again(
    definition: Definition, data: st.DataObject
) -> None:
    play = Play(definition, {"flag": True})
    play.start()
    run(play, data)
    state = fold(initial(EXECUTION_ID, definition.hash), play.log)
    assert state.agenda == []
    assert state_hash(encode(state)) == state_hash(encode(play.state))


@settings(max_examples=60, deadline=None)
@for_all(playbooks(), st.data())
def test_a_result_that_comes_twice_is_recorded_once(definition: Definition, data: st.DataObject) -> None:
    play = Play(definition, {"flag": True})
    play.start()
    run(play, data)
    for event in play.log:
        if event.event_type == "command.issued" and event.command_id is not None:
            again = play.admit("command.completed", None, command_id=event.command_id, lease_token=1)
            assert again.verdict is Verdict.LATE
    command = play.admit("command.completed", None, command_id=1, lease_token=1)
    assert command.code == "unknown_command"


@settings(max_examples=30, deadline=None)
@for_all(st.lists(st.sampled_from(["order.noted", "playbook.completed", "step.x", "execution.failed"])))
def test_a_foreign_stream_folds_the_same_in_any_two_parts(types: list[str]) -> None:
    play = Play(definition_of("{playbook: t/x, steps: [{name: a, tool: noop}]}"))
    play.stream.state = initial(EXECUTION_ID, None)
    for name in types:
        event = NewEvent(event_type=name, status="RUNNING", step="a", event_id=len(play.log) + 1)
        assert admit_foreign(event, Origin.OUTSIDE).verdict is Verdict.RECORDED
        play.enter(Admission(Verdict.RECORDED, event))
    whole = encode(fold(initial(EXECUTION_ID, None), play.log))
    for cut in range(len(play.log) + 1):
        first = fold(initial(EXECUTION_ID, None), play.log[:cut])
        assert encode(fold(first, play.log[cut:])) == whole
    assert len(play.log) == len(types)
