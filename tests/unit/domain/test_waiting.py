"""What an execution waits for is told from its folded state alone. That it always is, every play checks."""

from __future__ import annotations

from datetime import datetime, timedelta

from engine.domain.admit import Verdict
from engine.domain.events import iso
from engine.domain.execution import initial
from engine.domain.snapshot import dump, encode, load
from engine.domain.vocabulary import EventType
from engine.domain.waiting import Items, Wait, What, waits_for
from tests.support.play import BEGINNING, EXECUTION_ID, Play, definition_of, given


def after(**duration: float) -> datetime:
    return BEGINNING + timedelta(**duration)


def the_wait(play: Play) -> Wait:
    """The only one; a state that was stored and loaded says the same."""
    waits = waits_for(play.state)
    assert waits_for(load(dump(play.state))) == waits
    (wait,) = waits
    return wait


def claim(play: Play, step: str, **times: datetime) -> None:
    said = {name: iso(moment) for name, moment in times.items()}
    command_id = play.open_command(step).command_id
    play.send("command.claimed", {"worker_id": "w1", **said}, command_id=command_id, step="a")


ONE = "{playbook: t/one, steps: [{name: a, tool: noop, pool: gpu, deadline: 2h, retry: {max_attempts: 2}}]}"


def test_a_command_waits_for_a_worker_of_its_pool() -> None:
    play = given(ONE)
    assert the_wait(play) == Wait(
        what=What.CLAIM,
        owner="pool:gpu",
        since=BEGINNING,
        until=after(hours=2),
        step="a",
        attempt=1,
    )


def test_a_claimed_command_has_until_the_end_of_its_attempt() -> None:
    play = given(ONE)
    play.pass_time(10)
    claim(play, "a", claimed_at=after(seconds=2), deadline=after(minutes=5))
    wait = the_wait(play)
    assert (wait.what, wait.owner) == (What.RESULT, "pool:gpu")
    assert (wait.since, wait.until) == (after(seconds=2), after(minutes=5))


def test_a_command_that_was_handed_back_and_claimed_again_waits_for_the_second_worker() -> None:
    play = given(ONE)
    play.pass_time(60)
    claim(play, "a", claimed_at=after(seconds=2), deadline=after(minutes=5))
    claim(play, "a", claimed_at=after(seconds=40), deadline=after(minutes=9))
    wait = the_wait(play)
    assert (wait.what, wait.since, wait.until) == (What.RESULT, after(seconds=40), after(minutes=9))
    again = {"worker_id": "w2", "claimed_at": iso(after(seconds=40))}
    command_id = play.open_command("a").command_id
    repeat = play.admit("command.claimed", again, command_id=command_id, step="a")
    assert repeat.verdict is Verdict.UNCHANGED


def test_a_retry_says_since_when_and_not_before_when() -> None:
    play = given(ONE)
    claim(play, "a")
    play.pass_time(60)
    play.fail("a")
    wait = the_wait(play)
    assert (wait.what, wait.attempt) == (What.CLAIM, 2)
    assert (wait.since, wait.not_before) == (after(minutes=1), after(seconds=61))


def test_waits_have_the_nearest_of_their_time_limits() -> None:
    play = given(
        "{playbook: t/w, steps: [{name: a, wait: {event: go, timeout: 4h}, deadline: 2h},"
        " {name: b, needs: [], wait: {event: go, timeout: 1h}}, {name: c, needs: [], wait: {for: 5h}}]}",
    )
    play.state.deadline = after(hours=3)
    assert [(wait.step, wait.what, wait.owner, wait.until) for wait in waits_for(play.state)] == [
        ("a", What.SIGNAL, "signal:go", after(hours=2)),
        ("b", What.SIGNAL, "signal:go", after(hours=1)),
        ("c", What.MOMENT, "timer", after(hours=3)),
    ]


CHILD = (
    "{playbook: t/parent, steps: [{name: a, tool: playbook, with: {playbook: t/child},"
    " retry: {max_attempts: 2, delay: 10s}}]}"
)


def test_a_child_is_named_and_so_is_the_timer_before_the_next_one() -> None:
    play = given(CHILD)
    (child_id,) = play.state.children
    assert (the_wait(play).what, the_wait(play).owner) == (What.CHILD, f"child:{child_id}")
    play.pass_time(5)
    play.end_child("a", "failed")
    wait = the_wait(play)
    assert (wait.what, wait.owner) == (What.RETRY, "timer")
    assert (wait.since, wait.until) == (after(seconds=5), after(seconds=15))


MAP = """
playbook: t/map
inputs: {n: {type: array}}
steps: [{name: a, tool: noop, map: {items: "${ inputs.n }", max_in_flight: 3, on_item_error: continue}}]
"""


def test_a_map_is_one_wait_for_its_oldest_open_item_however_many_there_are() -> None:
    play = given(MAP, n=list(range(10)))
    play.pass_time(1)
    play.complete("a[0]")
    play.pass_time(1)
    play.fail("a[1]")
    wait = the_wait(play)
    assert (wait.step, wait.item, wait.since, wait.owner) == ("a", 2, BEGINNING, "pool:default")
    assert wait.items == Items(total=10, completed=1, failed=1, open=3, left=5)
    play.complete("a[2]")
    assert (the_wait(play).item, the_wait(play).since) == (3, after(seconds=1))


def test_what_undoes_a_step_is_waited_for_too() -> None:
    play = given(
        "{playbook: t/saga, steps: [{name: a, tool: noop, compensate: {tool: noop, pool: repair}},"
        " {name: b, tool: noop}]}"
    )
    play.complete("a")
    play.pass_time(3)
    play.fail("b")
    wait = the_wait(play)
    assert (wait.step, wait.undoing, wait.owner, wait.since) == ("a", True, "pool:repair", after(seconds=3))
    play.complete("a!")
    assert waits_for(play.state) == []


def test_a_paused_execution_waits_for_its_operator() -> None:
    play = given("{playbook: t/p, steps: [{name: a, tool: noop}, {name: b, needs: [], tool: noop}]}")
    command_id = play.open_command("b").command_id
    play.send("command.claimed", {"worker_id": "w1"}, command_id=command_id, step="b")
    play.pass_time(7)
    play.send(EventType.EXECUTION_PAUSED)
    assert [(wait.step, wait.what, wait.owner) for wait in waits_for(play.state)] == [
        ("a", What.CLAIM, "operator"),
        ("b", What.RESULT, "pool:default"),
        (None, What.RESUME, "operator"),
    ]
    assert waits_for(play.state)[2].since == after(seconds=7)
    play.send(EventType.EXECUTION_RESUMED)
    assert [wait.owner for wait in waits_for(play.state)] == ["pool:default", "pool:default"]


def test_a_foreign_execution_waits_for_its_own_system() -> None:
    state = initial(EXECUTION_ID, None)
    assert [wait.owner for wait in waits_for(state)] == ["outside"]


def test_a_hundred_steps_that_are_all_open_fit_into_sixteen_kibibytes() -> None:
    steps = ", ".join(f"{{name: step_{n}, needs: [], tool: noop}}" for n in range(100))
    play = Play(definition_of(f"{{playbook: t/many, steps: [{steps}]}}"), first_id=2**60)
    play.start()
    assert len(waits_for(play.state)) == 100
    assert len(encode(play.state)) <= 16 * 1024
