"""What looks odd and is harmless is no fault: a playbook that can run is never refused for its style."""

from __future__ import annotations

import pytest

from engine.errors import Invalid
from engine.language import BUILTIN_TOOLS, Tool, parse
from engine.language.check_expressions import MOST_EXPRESSIONS

HARMLESS = {
    "a guard that never changes switches a step off or on": """
  - {name: one, tool: noop, when: "false"}
  - {name: two, tool: noop, next: [{when: "true", step: end}, {default: end}]}""",
    "retry without attempts describes what is not done yet": """
  - {name: one, tool: noop, retry: {delay: 5s, backoff: 3}}
  - {name: two, tool: noop, retry: {max_attempts: 1, on: error.status == 503}}""",
    "a step with one way in may have a join": """
  - {name: one, tool: noop, join: any}
  - {name: two, tool: noop, join: any}""",
    "an attempt may be allowed longer than its step": """
  - {name: one, tool: noop, timeout: 2h, deadline: 1h}""",
    "a wait may end without its event by the deadline of its step": """
  - {name: one, wait: {event: go, timeout: 2h}, deadline: 1h}""",
    "rounds that may end early may rest for longer than there is time": """
  - {name: one, tool: noop, repeat: {max: 100000, delay: 1h, until: iteration > 3}}""",
    "the output of a step that may be skipped can be read": """
  - {name: one, tool: noop, when: execution.id != ''}
  - {name: two, tool: noop, with: {a: "${ steps.one.output }"}}""",
    "the state of any step can be read anywhere": """
  - {name: one, tool: noop, when: steps.two.status == 'pending', with: {why: "${ steps.two.error }"}}
  - {name: two, tool: noop}""",
    "the last step may go back when it fails, and ends otherwise": """
  - {name: one, tool: noop}
  - {name: two, tool: noop, on_error: [{when: "error.code == 'busy'", then: one}]}""",
    "a cycle may be left by a time-out": """
  - {name: one, tool: noop}
  - {name: two, wait: {event: again, timeout: 1h, on_timeout: three}, next: one}
  - {name: three, tool: noop}""",
    "a step may wait for one that leads elsewhere": """
  - {name: one, tool: noop, next: [{when: "execution.id > 'a'", step: two}, {default: three}]}
  - {name: two, tool: noop, next: end}
  - {name: three, tool: noop}
  - {name: four, tool: noop, needs: [one, three]}""",
    "what fails may lead to a step that reads what was done before": """
  - {name: one, tool: noop}
  - {name: two, tool: noop, on_error: [{then: three}], next: end}
  - {name: three, tool: noop, with: {a: "${ steps.one.output }", b: "${ steps.two.error.code }"}}""",
    "on a cycle a step may read what a later one gave the last time": """
  - {name: one, tool: noop, with: {last: "${ steps.two.status == 'completed' ? steps.two.output : null }"}}
  - {name: two, tool: noop, next: [{when: "execution.id > 'a'", step: one}, {default: end}]}""",
    "values that depend on expressions are left to the run": """
  - {name: one, tool: http, with: {url: "${ 'https://' + execution.id }", expect: ["${ 200 }"]}}
  - {name: two, tool: shell, with: {command: ls, cwd: "${ steps.one.output.body }"}}""",
    "the type of items is known only where that of the list is": """
  - {name: one, tool: noop, map: {items: "${ steps.zero.output.list }"}, with: {a: "${ item.anything }"}}
  - {name: zero, tool: noop, needs: [], next: one}""",
}


@pytest.mark.parametrize("steps", HARMLESS.values(), ids=HARMLESS.keys())
def test_harmless(steps: str) -> None:
    parse(f"playbook: a\nsteps:{steps}".encode(), tools={**BUILTIN_TOOLS, "noop": Tool()})


def test_tools_of_pools_take_and_give_anything() -> None:
    source = b"""
playbook: a
steps:
  - {name: one, tool: shop.price, with: {anything: 1}}
  - {name: two, tool: noop, when: steps.one.output.anything == 2}
"""
    parse(source, tools={**BUILTIN_TOOLS, "shop.price": Tool()})
    with pytest.raises(Invalid, match="unknown tool"):
        parse(source)


def test_a_map_over_more_than_10000_constants_is_refused() -> None:
    source = f"playbook: a\nsteps: [{{name: one, tool: noop, map: {{items: {['x'] * 10_001}}}}}]"
    with pytest.raises(Invalid, match="has 10001 items, more than 10000"):
        parse(source.encode())
    parse(source.replace("'x', ", "", 1).encode())


def test_a_playbook_has_a_bounded_number_of_expressions() -> None:
    values = ", ".join(['"${ attempt }"'] * (MOST_EXPRESSIONS + 5))
    with pytest.raises(Invalid, match="more than 4000 expressions") as refused:
        parse(f"playbook: a\nsteps: [{{name: one, tool: noop, with: {{a: [{values}]}}}}]".encode())
    assert len(refused.value.data["faults"]) == 1
