"""The testing kit: playbooks run in memory, in virtual time, with scripted tools."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.errors import Invalid
from playlog.testing import Call, Stuck, Unknown, Unscripted, fail, given, in_turn, lose, takes
from tests.support.tree import ROOT

ORDERS = ROOT / "playbooks" / "examples" / "orders.yaml"
FETCHED = {"body": {"orders": [{"item": "tea", "quantity": 2}]}}
PRICED = {"item": "tea", "quantity": 2, "cents": 400}

ONE = """
playbook: t/one
inputs: {n: {type: integer, default: 1}}
steps:
  - name: work
    tool: python
    with: {call: "a:b", args: {n: "${ inputs.n }", attempt: "${ attempt }"}}
    retry: {max_attempts: 3, delay: 10s, backoff: 1}
    timeout: 1m
output: "${ steps.work.output }"
"""


def test_the_orders_are_fetched_priced_approved_and_published() -> None:
    run = (
        given(ORDERS, day="2026-01-02")
        .with_results(fetch=[fail("http_error", status=503), FETCHED], price=PRICED, publish=None)
        .with_signal("approved", {"by": "ada"}, after="30m")
        .run()
    )
    assert run.status == "completed"
    assert run.output == {"orders": 1, "published": True}
    assert [call.attempt for call in run.calls("fetch")] == [1, 2]
    assert run.calls("price")[0].input == {
        "call": "playbooks.examples.orders:price_order",
        "args": {"order": {"item": "tea", "quantity": 2}},
    }
    assert run.step("approve").output == {"by": "ada"}
    assert run.step("reject").status == "skipped"
    assert run.elapsed == timedelta(minutes=30)


def test_waits_of_hours_end_by_their_time_out_at_once() -> None:
    run = given(ORDERS, day="2026-01-02").with_results(fetch=FETCHED, price=PRICED).run()
    assert run.status == "completed"
    assert run.step("approve").skip_reason == "timed_out"
    assert run.step("reject").status == "completed"
    assert run.elapsed == timedelta(hours=24)


def test_a_scenario_is_not_changed_by_what_is_added_to_it() -> None:
    base = given(ONE)
    assert base.with_results(work=1).run().output == 1
    assert base.with_results(work=2).run().output == 2
    with pytest.raises(Unscripted):
        base.run()


def test_a_function_gets_the_call_and_gives_any_result() -> None:
    def work(call: Call) -> object:
        return fail("boom") if call.attempt == 1 else {"got": call.input, "at": call.at.total_seconds()}

    run = given(ONE, n=7).with_results(work=work).run()
    assert run.output == {"got": {"call": "a:b", "args": {"n": 7, "attempt": 2}}, "at": 10.0}


def test_a_list_is_a_value_unless_an_element_is_more_than_a_value() -> None:
    assert given(ONE).with_results(work=[1, 2]).run().output == [1, 2]
    assert given(ONE).with_results(work=[lose(), [1, 2]]).run().output == [1, 2]
    assert given(ONE).with_results(work=in_turn(1, 2)).run().output == 1
    with pytest.raises(AssertionError, match="work is tried for the 2th time, and 1 results are scripted"):
        given(ONE).with_results(work=[fail("boom")]).run()


def test_a_lost_worker_costs_its_lease_and_no_try() -> None:
    run = given(ONE).with_results(work=[lose(), fail("boom"), fail("boom"), "done"]).run()
    assert run.output == "done"
    assert run.elapsed == timedelta(seconds=30 + 10 + 10)
    assert run.step("work").attempts == 4


def test_an_attempt_that_takes_longer_than_its_time_limit_is_timed_out() -> None:
    run = given(ONE).with_results(work=[takes("2m", "late"), takes("59s", "in time")]).run()
    assert run.output == "in time"
    assert run.elapsed == timedelta(minutes=1, seconds=10 + 59)
    assert [event.event_type for event in run.events][1:4] == [
        "command.issued",
        "command.claimed",
        "command.expired",
    ]


def test_a_failed_run_tells_its_error_and_its_events() -> None:
    run = given(ONE).with_results(work=lambda _: fail("boom", "no luck", status=418)).run()
    assert run.status == "failed"
    assert run.output is None
    assert run.error is not None
    assert (run.error["code"], run.error["step"], run.error["attempt"]) == ("boom", "work", 3)
    assert run.step("work").error == {"code": "boom", "message": "no luck", "status": 418, "attempt": 3}
    assert str(run).splitlines()[0] == "t/one is failed:"
    assert "  +20s" in str(run)


def test_what_no_script_says_is_told_with_the_input_and_the_way_to_say_it() -> None:
    with pytest.raises(Unscripted) as caught:
        given(ORDERS, day="2026-01-02").run()
    said = str(caught.value)
    assert "the step fetch of examples/orders calls the tool http" in said
    assert "add .with_results(fetch=...)" in said
    assert '"query":{"day":"2026-01-02"}' in said
    assert "without a result, too: price, publish" in said


def test_misspelt_names_are_told_with_the_nearest_known_one() -> None:
    scenario = given(ORDERS, day="2026-01-02")
    with pytest.raises(Unknown, match='has no step prise, did you mean "price"'):
        scenario.with_results(prise=1)
    with pytest.raises(Unknown, match='no wait for the signal aproved, did you mean "approved"'):
        scenario.with_signal("aproved")
    with pytest.raises(Unknown, match="no step fetch with `compensate`, there are: none"):
        scenario.with_compensations(fetch=None)
    with pytest.raises(Unknown, match='did you mean "fetch"'):
        scenario.with_results(fetch=FETCHED, price=PRICED).run().calls("fetsh")
    with pytest.raises(ValueError, match="write `90s`"):
        scenario.with_signal("approved", after="soon")


def test_a_broken_playbook_and_bad_inputs_are_told_like_anywhere_else(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("playbook: t/x\nsteps: [{name: a, tool: nop}, {name: a, tool: noop}]\n")
    with pytest.raises(Invalid) as caught:
        given(broken)
    assert [note.split(": ")[2] for note in caught.value.__notes__] == [
        'unknown tool "nop", did you mean "noop"?',
        'duplicate step "a", first in line 2; choose another name',
    ]
    with pytest.raises(Invalid, match=r"inputs\.n: must be a whole number"):
        given(ONE, n="x").with_results(work=1).run()


def test_what_is_no_json_is_refused_by_the_name_of_its_step() -> None:
    with pytest.raises(TypeError, match="the result of work is no JSON"):
        given(ONE).with_results(work=[lose(), Path()]).run()


ITEMS = """
playbook: t/items
inputs: {orders: {type: array}}
steps:
  - name: price
    map: {items: "${ inputs.orders }", as: order, on_item_error: continue}
    tool: python
    with: {call: "a:b", args: {order: "${ order }"}}
    retry: {max_attempts: 2}
  - {name: load, tool: python, with: {call: "a:c", args: {rows: "${ steps.price.output }"}}}
output: "${ steps.load.output }"
"""


def test_the_items_of_a_map_are_calls_of_their_own() -> None:
    def price(call: Call) -> object:
        return fail("unpriced") if call.item == 1 else call.input["args"]["order"] * 10

    run = given(ITEMS, orders=[1, 2, 3]).with_results(price=price, load=lambda call: call.input).run()
    assert [(call.item, call.attempt) for call in run.calls("price")] == [(0, 1), (1, 1), (2, 1), (1, 2)]
    assert run.step("price").output == [10, None, 30]
    assert run.output == {"call": "a:c", "args": {"rows": [10, None, 30]}}


LARGE = """
playbook: t/large
steps:
  - {name: read, tool: python, with: {call: "a:b"}}
  - {name: use, tool: python, with: {call: "a:c", args: {whole: "${ steps.read.output }"}}}
  - {name: count, tool: noop, with: {rows: "${ size(steps.read.output.rows) }"}}
"""


def test_large_outputs_are_passed_on_whole_and_refused_where_they_are_read() -> None:
    large = {"rows": ["x" * 100] * 4_000}
    run = given(LARGE).with_results(read=large, use=None).run()
    assert run.calls("use")[0].input == {"call": "a:c", "args": {"whole": large}}
    assert run.error is not None
    assert (run.error["step"], run.error["code"]) == ("count", "value_too_large")


def test_an_output_that_no_worker_could_hand_over_fails_the_attempt() -> None:
    run = given(ONE).with_results(work="x" * (16 * 1024 * 1024)).run()
    assert run.error is not None
    assert run.error["code"] == "output_too_large"


PARENT = """
playbook: t/parent
steps:
  - {name: sub, tool: playbook, with: {playbook: t/one, inputs: {n: 5}}, retry: {max_attempts: 2, delay: 1m}}
  - {name: after, tool: noop, with: {x: "${ steps.sub.output }"}}
output: "${ steps.sub.output }"
"""


def test_a_registered_child_runs_in_the_same_virtual_time() -> None:
    run = given(PARENT).with_playbook(ONE, work=[fail("boom"), takes("5s", "five")]).run()
    assert run.output == "five"
    assert run.elapsed == timedelta(seconds=15)
    (child,) = run.children
    assert child.calls("work")[0].input == {"call": "a:b", "args": {"n": 5, "attempt": 1}}
    assert child.status == "completed"


def test_the_failure_of_a_child_is_its_parents_attempt_error() -> None:
    run = given(PARENT).with_playbook(ONE, work=lambda _: fail("boom")).run()
    assert len(run.children) == run.step("sub").attempts == 2
    assert run.error is not None
    assert run.error["code"] == "child_failed"
    assert run.error["details"]["code"] == "boom"


def test_a_child_can_be_scripted_like_any_tool() -> None:
    run = given(PARENT).with_results(sub=[fail("child_timed_out"), takes("1h", "done")]).run()
    assert run.output == "done"
    assert run.children == ()
    assert run.elapsed == timedelta(hours=1, minutes=1)
    assert run.calls("sub")[0].input == {"playbook": "t/one", "version": None, "inputs": {"n": 5}}


def test_a_child_that_is_not_registered_is_told_with_the_nearest_path() -> None:
    other = ONE.replace("t/one", "t/ones")
    with pytest.raises(Unscripted, match='starts t/one, which is not registered, did you mean "t/ones"'):
        given(PARENT).with_playbook(other).run()


def test_the_newest_version_of_a_child_runs_unless_it_is_pinned() -> None:
    twice = given(PARENT).with_playbook(ONE, work="old").with_playbook(ONE, work="new")
    assert twice.run().output == "new"
    pinned = PARENT.replace("t/one,", "t/one, version: 1,")
    assert given(pinned).with_playbook(ONE, work="old").with_playbook(ONE, work="new").run().output == "old"


def test_a_cancelled_execution_takes_its_children_with_it() -> None:
    run = given(PARENT).with_playbook(ONE, work=takes("50s")).with_cancel(after="20s", reason="enough").run()
    assert run.status == "cancelled"
    assert run.children[0].status == "cancelled"
    assert run.elapsed == timedelta(seconds=20)


SECRETS = """
playbook: t/secrets
inputs: {user: {type: string}, bag: {type: object}}
steps:
  - name: ask
    tool: http
    with: {url: "http://x/", headers: {authorization: "${ inputs.user + ':' + secret('SHOP_TOKEN') }"}}
  - {name: no, tool: http, with: {url: "${ inputs.bag.none + secret('SHOP_TOKEN') }"}}
"""


def test_secrets_are_seen_by_their_names() -> None:
    run = given(SECRETS, user="ada", bag={}).with_results(ask=None, no=None).run()
    assert run.calls("ask")[0].input["headers"] == {"authorization": "ada:<secret SHOP_TOKEN>"}
    assert "SHOP_TOKEN" not in str(run)
    assert run.error is not None
    assert (run.error["step"], run.error["code"]) == ("no", "expression_error")


SAGA = """
playbook: t/saga
steps:
  - name: book
    tool: python
    with: {call: "a:b"}
    compensate: {tool: python, with: {call: "a:c", args: {id: "${ steps.book.output }"}}}
  - {name: pay, tool: python, with: {call: "a:d"}}
"""


def test_compensations_are_scripted_and_told_by_themselves() -> None:
    failing = given(SAGA).with_results(book=17, pay=fail("broke"))
    run = failing.with_compensations(book=None).run()
    assert (run.status, run.compensation) == ("failed", "complete")
    undoing = run.calls("book")[-1]
    assert undoing.undoing
    assert undoing.input == {"call": "a:c", "args": {"id": 17}}
    with pytest.raises(Unscripted, match=r"the compensation of the step book .* add \.with_compensations"):
        failing.run()
    incomplete = failing.with_compensations(book=lambda _: fail("no way back")).run()
    assert incomplete.compensation == "incomplete"
    assert [each.kind for each in incomplete.incidents] == ["compensation_failed"]


def test_a_cancel_with_compensation_undoes_first() -> None:
    slow = given(SAGA).with_results(book=17, pay=takes("1h")).with_compensations(book=takes("5m"))
    run = slow.with_cancel(after="10m", compensate=True).with_cancel(after="11m").run()
    assert (run.status, run.compensation) == ("cancelled", "complete")
    assert run.elapsed == timedelta(minutes=15)


def test_a_pause_holds_commands_back_until_it_is_resumed() -> None:
    paused = given(PARENT).with_results(sub=takes("1m", 5)).with_pause(after="30s")
    assert paused.with_resume(after="2h").run().elapsed == timedelta(hours=2)


def test_what_nobody_moves_any_more_is_stuck_and_says_what_it_waits_for() -> None:
    with pytest.raises(Stuck) as caught:
        given(PARENT).with_results(sub=takes("1m", 5)).with_pause(after="30s").run()
    assert "nobody moves t/parent any more" in str(caught.value)
    assert "it waits for the command of after while it is paused" in str(caught.value)


def test_a_run_can_be_stopped_and_looked_at() -> None:
    run = given(ORDERS, day="2026-01-02").with_results(fetch=FETCHED, price=PRICED).run(until="10m")
    assert run.status == "waiting"
    assert run.step("approve").status == "waiting"
    assert run.elapsed == timedelta(minutes=10)


def test_the_beginning_can_be_chosen_and_a_declared_deadline_passes() -> None:
    source = """
playbook: t/late
deadline: 2d
steps:
  - {name: a, wait: {until: "'2026-05-01T00:00:00+02:00'"}}
"""
    assert given(source).with_start("2026-04-30T21:00:00Z").run().elapsed == timedelta(hours=1)
    late = given(source).run()
    assert late.status == "timed_out"
    assert late.elapsed == timedelta(days=2)


def test_two_runs_of_a_scenario_record_the_same_events() -> None:
    results = {"fetch": [fail("http_error", status=503), FETCHED], "price": PRICED}
    scenario = given(ORDERS, day="2026-01-02").with_results(**results)
    assert scenario.run().events == scenario.run().events
