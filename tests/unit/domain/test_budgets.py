"""Whatever a playbook says, one event sets off a bounded amount of work, with pauses for everybody else."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.budget import EVENTS_IN_ONE_GO, MOST_EVENTS, Budget
from engine.domain.maps import ITEMS_A_DECISION
from engine.domain.scope import Lacking
from playlog.testing import given
from playlog.testing.stream import MemoryStream
from tests.support.play import Play, definition_of

LOOP = """
playbook: t/loop
inputs: {xs: {type: array}}
steps:
  - {name: before, tool: noop, compensate: {tool: noop}}
  - name: a
    map: {items: "${ inputs.xs }", as: i, on_item_error: continue}
    tool: python
    with: {call: "x:y", args: {n: "${ 1 / (i - i) }"}}
  - name: b
    when: "false"
    tool: noop
    next: [{when: "execution.id != ''", step: a}, {default: end}]
"""
FAILING = """
playbook: t/failing
inputs: {xs: {type: array}}
steps:
  - name: a
    map: {items: "${ inputs.xs }", as: i, on_item_error: continue}
    tool: python
    with: {call: "x:y", args: {n: "${ 1 / (i - i) }"}}
"""
LIST = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
HEAVY = f"{LIST}.map(a, {LIST}.map(b, {LIST}.map(c, [1, 2, 3, 4].map(d, a * b + c * d)))).size()"
MANY = """
playbook: t/many
inputs: {xs: {type: array}}
steps:
  - name: a
    map: {items: "${ inputs.xs }", max_in_flight: 1000}
    tool: python
    with: {call: "x:y", args: {v: [%s]}}
"""


def test_a_loop_with_nobody_outside_fails_with_a_way_out_and_is_compensated() -> None:
    ended = given(LOOP, xs=list(range(200))).run()
    assert ended.error is not None
    assert (ended.status, ended.error["code"]) == ("failed", "too_much_at_once")
    assert "let cycles end sooner" in str(ended.error["message"])
    assert "compensation.completed" in [event.event_type for event in ended.events]
    assert MOST_EVENTS <= len(ended.events) <= MOST_EVENTS + 2 * ITEMS_A_DECISION


def test_a_map_whose_items_all_fail_as_they_begin_is_not_too_much_and_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[Lacking] = []
    supply = MemoryStream._supply

    def supplied(stream: MemoryStream, lacking: Lacking, *more: Any) -> None:
        if not (lacking.versions or lacking.ids or lacking.payloads):
            pauses.append(lacking)
        supply(stream, lacking, *more)

    monkeypatch.setattr(MemoryStream, "_supply", supplied)
    ended = given(FAILING, xs=list(range(10_000))).run()
    assert (ended.status, ended.error) == ("completed", None)
    assert [event.event_type for event in ended.events].count("step.failed") == 10_000
    assert len(pauses) >= 10_000 // (EVENTS_IN_ONE_GO + ITEMS_A_DECISION)


@pytest.mark.parametrize(("items", "status"), [(8, "completed"), (40, "failed")])
def test_the_items_of_a_map_have_their_fuel_decision_by_decision_and_only_so_much_in_all(
    items: int, status: str
) -> None:
    expressions = ", ".join(f"'${{ {HEAVY} }}'" for _ in range(10))
    ended = given(MANY % expressions, xs=list(range(items))).with_results(a=1).run()
    assert ended.status == status
    assert ended.error is None or ended.error["code"] == "too_much_at_once"


def test_a_step_with_too_many_costly_expressions_fails_by_itself() -> None:
    expressions = ", ".join(f"'${{ {HEAVY} }}'" for _ in range(60))
    ended = given(MANY % expressions, xs=[1]).with_results(a=1).run()
    assert ended.error is not None
    assert (ended.error["code"], ended.error["step"]) == ("expression_error", "a")
    assert "evaluated together" in str(ended.error["message"])


def test_many_items_begin_in_parts_in_their_order() -> None:
    play = Play(definition_of(MANY % "'${ item }'"), {"xs": list(range(3 * ITEMS_A_DECISION // 2))})
    play.start()
    issued = [event.item for event in play.log if event.event_type == "command.issued"]
    assert issued == list(range(3 * ITEMS_A_DECISION // 2))


def test_a_pause_is_due_after_many_events_and_taken_once() -> None:
    budget = Budget()
    budget.count(EVENTS_IN_ONE_GO - 1)
    assert not budget.is_pause_due()
    budget.renew()
    budget.count(1)
    assert budget.is_pause_due()
    assert not budget.is_pause_due()
