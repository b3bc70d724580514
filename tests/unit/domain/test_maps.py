"""Rule 10: maps."""

from __future__ import annotations

from collections import deque

import pytest

from engine.domain.scope import Lacking, Supply
from engine.domain.snapshot import encode
from engine.domain.vocabulary import ExecutionStatus
from tests.support.play import BEGINNING, Play, given

PRICES = """
playbook: t/prices
inputs: {items: {type: array}}
steps:
  - name: price
    tool: noop
    map: {items: "${ inputs.items }", as: order, max_in_flight: 2%s}
    with: {order: "${ order }", index: "${ item_index }"}
    retry: {max_attempts: 2, delay: 1s}
output: "${ steps.price.output }"
"""


def prices(*items: object, more: str = "") -> Play:
    return given(PRICES % more, items=list(items))


def test_rule_10_items_are_tried_so_many_at_a_time_and_give_their_outputs_in_order() -> None:
    play = prices("a", "b", "c")
    assert play.open_steps == ["price[0]", "price[1]"]
    assert [command.input for command in play.commands] == [
        b'{"index":0,"order":"a"}',
        b'{"index":1,"order":"b"}',
    ]
    assert play.complete("price[1]", 20) == ["command.completed", "command.issued"]
    assert play.open_steps == ["price[0]", "price[2]"]
    play.complete("price[2]", 30)
    assert play.complete("price[0]", 10) == [
        "command.completed",
        "map.closed",
        "step.completed",
        "execution.completed",
    ]
    assert play.output == [10, 20, 30]
    play.check_replay()


def test_rule_10_no_items_give_an_empty_list() -> None:
    play = prices()
    assert play.types == [
        "execution.started",
        "map.opened",
        "map.closed",
        "step.completed",
        "execution.completed",
    ]
    assert play.output == []
    play.check_replay()


def test_rule_10_an_item_is_retried_by_itself() -> None:
    play = prices("a", "b")
    assert play.fail("price[0]") == ["command.failed", "command.issued"]
    assert play.log[-1].item == 0
    assert play.log[-1].attempt == 2
    play.complete("price[0]", 1)
    play.complete("price[1]", 2)
    assert play.output == [1, 2]
    play.check_replay()


def test_rule_10_the_first_item_that_is_given_up_fails_the_step_and_cancels_the_rest() -> None:
    play = prices("a", "b", "c")
    play.fail("price[0]")
    assert play.fail("price[0]") == ["command.failed", "step.failed", "execution.failed"]
    assert play.error["item"] == 0
    assert play.open_steps == []
    play.check_replay()


def test_rule_10_an_item_that_cannot_begin_gives_the_step_up_once() -> None:
    play = given(
        "{playbook: t/m, steps: [{name: a, tool: noop, map: {items: [{v: 1}, {v: 2}, {w: 3}, {v: 4}]},"
        ' with: {v: "${ item.v }"}, on_error: [{then: skip}]}]}'
    )
    assert play.types[1:] == [
        "map.opened",
        "command.issued",
        "command.issued",
        "step.skipped",
        "execution.completed",
    ]
    play.check_replay()


def test_rule_10_with_continue_an_item_that_is_given_up_gives_null_and_an_error() -> None:
    source = PRICES.replace(
        'output: "${ steps.price.output }"', 'output: "${ [steps.price.output, steps.price.errors] }"'
    )
    play = given(source % ", on_item_error: continue", items=["a", "b", "c"])
    play.fail("price[0]")
    assert play.fail("price[0]", code="late") == ["command.failed", "step.failed", "command.issued"]
    assert play.state.status is ExecutionStatus.RUNNING
    play.complete("price[1]", 2)
    play.complete("price[2]", 3)
    late = {"item": 0, "code": "late", "message": "late", "attempt": 2}
    assert play.output == [[None, 2, 3], [late]]
    play.check_replay()


@pytest.mark.parametrize(
    ("items", "more", "code"),
    [
        (list(range(10_001)), "", "too_many_items"),
        (["x" * 300_000], "", "value_too_large"),
        ([{"id": 1}, {"id": 2}, {"id": 1}], ", key: order.id", "duplicate_key"),
        ([{"no": 1}], ", key: order.id", "expression_error"),
    ],
)
def test_rule_10_what_cannot_be_mapped_fails_the_step(items: list[object], more: str, code: str) -> None:
    play = prices(*items, more=more)
    assert play.error["code"] == code
    assert play.types == ["execution.started", "step.failed", "execution.failed"]


def test_rule_10_a_map_is_closed_once_when_no_item_can_even_begin() -> None:
    source = PRICES.replace('order: "${ order }", ', 'order: "${ order.id }", ')
    play = given(source % ", on_item_error: continue", items=[{}, {}, {}])
    assert play.types == [
        *["execution.started", "map.opened", "step.failed", "step.failed", "step.failed"],
        *["map.closed", "step.completed", "execution.completed"],
    ]
    assert play.output == [None, None, None]
    play.check_replay()


def test_rule_10_the_state_of_a_map_does_not_grow_with_its_items() -> None:
    sizes = []
    for count in (100, 1_000):
        play = prices(*range(count))
        for item in range(count - 2):
            play.complete(f"price[{item}]", item)
        sizes.append(len(encode(play.state)))
    assert sizes[1] < sizes[0] + 50


def test_ids_for_many_items_are_asked_for_by_how_many_there_must_be() -> None:
    supply = Supply(now=BEGINNING, ids=deque([1, 2, 3]))
    supply.reserve(3)
    with pytest.raises(Lacking) as lacking:
        supply.reserve(5)
    assert lacking.value.ids == 5


def test_a_lost_item_is_issued_again_without_using_up_a_try() -> None:
    play = prices("a")
    assert play.lose("price[0]") == ["command.expired", "command.issued"]
    play.fail("price[0]")
    play.complete("price[0]", 1)
    assert play.output == [1]
    play.check_replay()


def test_the_step_deadline_ends_the_whole_map() -> None:
    play = given(PRICES.replace("retry:", "deadline: 5s\n    retry:") % "", items=["a", "b"])
    assert play.fire("price:deadline") == ["timer.fired", "step.failed", "execution.failed"]
    assert play.open_steps == []
    assert play.open_timers == set()
    play.check_replay()
