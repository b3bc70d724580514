"""Rule 15 on a cycle: every completed visit is undone, with the outputs of that time."""

from __future__ import annotations

import orjson

from engine.domain.execution import StepState
from engine.domain.snapshot import encode
from tests.support.play import Play, given

ROUND = """
playbook: t/round
steps:
  - {name: start, tool: noop, needs: []}
  - {name: find, tool: noop}
  - name: book
    tool: noop
    compensate:
      tool: noop
      with: {id: "${ steps.find.output }", own: "${ steps.book.output }"}
      retry: {max_attempts: 3, delay: 1s, on: "steps.find.status == 'completed'"}
  - name: pay
    tool: noop
    compensate: {tool: noop, with: {paid: "${ steps.pay.output }"}}
    next: [{when: "steps.pay.output < 9", step: find}, {default: end}]
  - {name: beside, tool: noop, needs: []}
"""


def after_rounds(count: int, source: str = ROUND) -> Play:
    """The cycle has gone round so often, each time with outputs of its own, and has begun once more."""
    play = given(source)
    play.complete("start")
    for number in range(1, count + 1):
        play.complete("find", f"id{number}")
        play.complete("book", f"own{number}")
        play.complete("pay", number)
    return play


def undone(play: Play) -> list[tuple[str, object]]:
    """Undo all that can be undone; what was asked for, in order."""
    asked = []
    while not play.state.is_ended:
        (slot,) = play.open_steps
        asked.append((slot, orjson.loads(play.open_command(slot).input)))
        play.check_replay()
        play.complete(slot)
    return asked


FIRST_TWO = [
    ("pay!", {"paid": 2}),
    ("book!", {"id": "id2", "own": "own2"}),
    ("pay!", {"paid": 1}),
    ("book!", {"id": "id1", "own": "own1"}),
]


def test_rule_15_every_completed_visit_is_undone_with_the_outputs_of_that_time() -> None:
    play = after_rounds(2)
    play.complete("find", "id3")
    play.fail("beside")
    assert undone(play) == FIRST_TWO, "nothing of the third visit was booked yet"
    assert play.state.compensation == "complete"
    keys = [command.idempotency_key for command in play.commands[-4:]]
    assert len(set(keys)) == 4, keys
    play.check_replay()


def test_rule_15_a_visit_is_undone_though_what_it_reads_has_failed_since() -> None:
    play = after_rounds(2)
    play.fail("find")
    assert undone(play) == FIRST_TWO


def test_rule_15_a_visit_that_is_under_way_does_not_hide_those_before() -> None:
    play = after_rounds(1)
    play.complete("find", "id2")
    play.complete("book", "own2")
    play.cancel(compensate=True)
    assert undone(play) == [("book!", {"id": "id2", "own": "own2"}), *FIRST_TWO[2:]]


def test_rule_15_each_visit_is_undone_with_all_its_tries() -> None:
    play = after_rounds(2)
    play.fail("find")
    play.complete("pay!")
    for _ in range(3):
        play.fail("book!")
    assert play.types[-3:] == ["compensation.failed", "compensation.started", "command.issued"]
    play.complete("pay!")
    play.fail("book!")
    assert play.open_steps == ["book!"], "what another visit's undoing used up does not count"
    play.complete("book!")
    assert play.state.compensation == "incomplete"
    play.check_replay()


def test_rule_15_after_a_retry_of_the_execution_earlier_visits_are_still_undone() -> None:
    play = after_rounds(1, ROUND.replace("steps.pay.output < 9", "true"))
    play.cancel()
    play.reopen()
    play.complete("find", "id2")
    play.fail("book")
    assert undone(play) == FIRST_TWO[2:]


def test_rule_15_a_visit_keeps_what_its_maps_gave() -> None:
    mapped = "{name: find, map: {items: [1, 2]}, tool: noop}"
    play = given(ROUND.replace("{name: find, tool: noop}", mapped))
    play.complete("start")
    for number in (1, 2):
        play.complete("find[0]", f"left{number}")
        play.complete("find[1]", f"right{number}")
        play.complete("book", number)
        play.complete("pay", number)
    play.fail("find[0]")
    ids = [asked["id"] for slot, asked in undone(play) if slot == "book!"]  # type: ignore[index]
    assert ids == [["left2", "right2"], ["left1", "right1"]]


def test_only_what_undoing_on_a_cycle_reads_is_kept() -> None:
    play = after_rounds(3)
    kept = {name: [list(done.steps) for done in step.done] for name, step in play.state.steps.items()}
    assert kept == {
        "start": [],
        "find": [],
        "book": [["find", "book"]] * 3,
        "pay": [["pay"]] * 3,
        "beside": [],
    }
    assert all(
        read == StepState(status=read.status, output=read.output)
        for step in play.state.steps.values()
        for done in step.done
        for read in done.steps.values()
    )
    size = len(encode(play.state))
    more = len(encode(after_rounds(8).state)) - size
    assert more < 5 * 250, f"{more / 5} bytes a round"
