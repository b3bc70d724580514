"""A value that expressions nest deeper and deeper fails the step that would keep it, never the engine."""

from __future__ import annotations

import pytest

from engine.domain.json_values import VALUE_DEPTH
from playlog.testing import Call, given

GROWING = """
playbook: t/growing
steps:
  - {name: count, tool: python, with: {call: "x:count"}}
  - name: nest
    tool: playbook
    with:
      playbook: t/child
      inputs:
        n: "${ steps.count.output }"
        last: "${ steps.nest.status == 'completed' ? steps.nest.output : null }"
  - name: again
    tool: noop
    when: "false"
    next: [{when: "steps.count.output < 400", step: count}, {default: end}]
"""
CHILD = """
playbook: t/child
inputs: {last: {type: any}, n: {type: any}}
steps:
  - {name: none, when: "false", tool: noop}
output: {n: "${ inputs.n }", last: "${ inputs.last }"}
"""
DEEP = """
playbook: t/deep
inputs: {x: {type: any}, ids: {type: array, default: [1]}}
steps:
  - {name: a, %s}
output: %s
"""


def nested(levels: int, inner: object = 0) -> object:
    for _ in range(levels):
        inner = [inner]
    return inner


def test_a_cycle_that_nests_its_result_deeper_each_time_fails_in_words() -> None:
    counted = iter(range(1_000))

    def count(_: Call) -> int:
        return next(counted)

    ended = given(GROWING).with_results(count=count).with_playbook(CHILD).run()
    assert ended.status == "failed"
    assert ended.error is not None
    assert (ended.error["code"], ended.error["step"]) == ("value_too_large", "nest")
    assert f"nested deeper than {VALUE_DEPTH} levels" in str(ended.error["message"])


@pytest.mark.parametrize(
    ("step", "output", "code"),
    [
        ("tool: python, with: {call: 'x:y', args: {v: '${ [[inputs.x]] }'}}", "1", "value_too_large"),
        ("tool: noop, map: {items: '${ [[inputs.x]] }'}", "1", "value_too_large"),
        ("tool: noop, map: {items: '${ inputs.ids }', key: '[[inputs.x], item]'}", "1", "value_too_large"),
        ("tool: noop, when: 'false'", "['${ [inputs.x] }']", "output_error"),
    ],
)
def test_what_expressions_nest_too_deep_is_refused_wherever_it_would_be_kept(
    step: str, output: str, code: str
) -> None:
    ended = given(DEEP % (step, output), x=nested(VALUE_DEPTH - 1)).with_results(a=1).run()
    assert ended.error is not None
    assert ended.error["code"] == code
    assert "nested deeper than" in str(ended.error["message"])


def test_what_is_nested_as_deep_as_may_be_passes() -> None:
    deep = nested(VALUE_DEPTH - 2)
    ended = given(DEEP % ("tool: noop, when: 'false'", "['${ [inputs.x] }']"), x=deep).run()
    assert (ended.status, ended.output) == ("completed", [[deep]])
