"""Expressions that name a secret: never evaluated here, sent with just the values they name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from engine.domain.attempts import MAX_INPUT_BYTES
from engine.domain.deferred import merged
from engine.domain.handles import MOST_READ_BYTES
from tests.support.play import Play, given


def playing(value: str, before: str = "{name: a, tool: noop}", **inputs: object) -> Play:
    """A step `use` with the value in its input, after some other steps."""
    inputs = {"day": "x", "rate": 3, "more": {"a": {"b": 1, "c": 2}, "d": 3}} | inputs
    return given(
        f"""
playbook: t/secrets
inputs:
  day: {{type: string}}
  rate: {{type: number}}
  more: {{type: object}}
steps:
  - {before}
  - {{name: use, tool: http, with: {{url: "{value}", body: [1, "{value}"]}}}}
""",
        **inputs,
    )


def sent(play: Play) -> dict[str, Any]:
    (command,) = [command for command in play.commands if command.step == "use"]
    assert command.deferred == b'[["body",1],["url"]]'
    asked: dict[str, Any] = orjson.loads(command.input)
    assert asked["url"] == asked["body"][1]
    found: dict[str, Any] = asked["url"]
    return found


def test_an_expression_goes_to_the_worker_as_source_with_the_values_it_names() -> None:
    play = playing("${ secret('A') + inputs.day + string(inputs.more.a.b) + execution.id + string(attempt) }")
    play.complete("a")
    asked = sent(play)
    assert asked["source"].strip().startswith("secret('A') + inputs.day")
    assert asked["values"] == {
        "inputs": {"day": "x", "more": {"a": {"b": 1}}},
        "execution": {"id": "4711"},
        "attempt": 1,
    }
    assert "doubles" not in asked
    play.check_replay()


def test_an_expression_without_a_secret_is_evaluated_here() -> None:
    play = playing("${ 'secret ' + inputs.day }")
    play.complete("a")
    assert (play.commands[-1].deferred, orjson.loads(play.commands[-1].input)["url"]) == (None, "secret x")


def test_what_is_declared_double_is_told() -> None:
    play = playing("${ secret('A') + string(inputs.rate * 1.5) }")
    play.complete("a")
    assert sent(play)["values"] == {"inputs": {"rate": 3}}
    assert sent(play)["doubles"] == {"inputs": {"rate": True}}


def test_of_a_step_its_status_goes_along_and_its_output_only_where_there_is_one() -> None:
    value = "${ steps.a.status == 'completed' ? steps.a.output.host : secret('A') }"
    done = playing(value)
    done.complete("a", {"host": "h", "rest": "r"})
    assert sent(done)["values"]["steps"] == {"a": {"status": "completed", "output": {"host": "h"}}}
    left_out = playing(value, "{name: a, tool: noop, when: 'false'}")
    assert sent(left_out)["values"]["steps"] == {"a": {"status": "skipped"}}


def test_a_large_output_is_read_for_its_named_part_and_passed_on_as_a_whole() -> None:
    part = playing("${ secret('A') + steps.a.output.host }")
    part.complete_large("a", {"host": "h", "rest": "r" * 1000}, MOST_READ_BYTES)
    assert sent(part)["values"]["steps"]["a"]["output"] == {"host": "h"}
    whole = playing("${ {'rows': steps.a.output, 'key': secret('A')} }")
    whole.complete_large("a", [1, 2], 5 * 2**20)
    command = whole.commands[-1]
    assert whole.read == []
    assert orjson.loads(command.handles or b"") == [
        ["body", 1, "values", "steps", "a", "output"],
        ["url", "values", "steps", "a", "output"],
    ]
    assert sent(whole)["values"]["steps"]["a"]["output"]["reference"]["bytes"] == 5 * 2**20


def test_a_part_of_what_is_too_large_to_be_read_is_left_to_the_worker_to_refuse() -> None:
    play = playing("${ secret('A') + steps.a.output.host }")
    play.complete_large("a", {"host": "h"}, MOST_READ_BYTES + 1)
    assert "reference" in sent(play)["values"]["steps"]["a"]["output"]


def test_the_values_count_as_the_input_they_are_part_of() -> None:
    play = playing("${ secret('A') + inputs.day }", day="d" * (MAX_INPUT_BYTES // 2))
    assert "execution.failed" in play.complete("a")
    assert play.error["code"] == "value_too_large"


def test_data_that_looks_like_an_expression_stays_data() -> None:
    looks = {"source": "secret('A')", "values": {}}
    play = playing("${ inputs.more }", more=looks)
    play.complete("a")
    assert play.commands[-1].deferred is None
    assert orjson.loads(play.commands[-1].input)["url"] == looks


def test_an_item_and_an_undoing_defer_too() -> None:
    play = given("""
playbook: t/secrets
steps:
  - name: use
    map: {items: [{id: 7, x: 1}], as: order}
    tool: http
    with: {url: "${ secret('A') + string(order.id) + string(item_index) }"}
    compensate: {tool: http, with: {url: "${ secret('B') + string(steps.use.output[0]) }"}}
  - {name: last, tool: noop}
""")
    play.complete("use[0]", 5)
    play.fail("last")
    item, _, undoing = play.commands
    assert orjson.loads(item.input)["url"]["values"] == {"order": {"id": 7}, "item_index": 0}
    assert orjson.loads(undoing.input)["url"]["values"]["steps"]["use"]["output"] == [5]
    assert item.deferred == undoing.deferred == b'[["url"]]'


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        ([("a",), ("a", "b")], {"a": None}),
        ([("a", "b"), ("a",)], {"a": None}),
        ([("a", "b"), ("a", "c", "d"), ("e",)], {"a": {"b": None, "c": {"d": None}}, "e": None}),
    ],
)
def test_a_path_that_ends_at_a_value_names_the_whole_of_it(
    paths: list[tuple[str, ...]], named: object
) -> None:
    assert merged(paths) == named
